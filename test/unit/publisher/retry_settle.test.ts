import assert from "node:assert/strict";
import { test } from "node:test";
import { retrySettle } from "../../../src/publisher/delivery.ts";

test("tries again until it succeeds, and tells of each failure", async () => {
  const failures: unknown[] = [];
  let tries = 0;
  const settle = (): string => {
    if (++tries < 3) throw new Error(`failure ${tries}`);
    return "settled";
  };
  const onFailure = (error: unknown): number => {
    failures.push((error as Error).message);
    return 0;
  };

  assert.equal(await retrySettle(settle, { onFailure, stop: new AbortController().signal }), "settled");
  assert.deepEqual(failures, ["failure 1", "failure 2"]);
});

test("tries once more when it is stopped while it waits, and rejects with the last failure", async () => {
  const stop = new AbortController();
  let tries = 0;
  const settle = (): never => {
    throw new Error(`failure ${++tries}`);
  };
  const settled = retrySettle(settle, { onFailure: () => 3_600_000, stop: stop.signal });
  stop.abort();
  await assert.rejects(settled, /^Error: failure 2$/);
});
