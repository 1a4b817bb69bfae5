import assert from "node:assert/strict";
import { test } from "node:test";
import { PublisherCounts } from "../../../src/publisher/counts.ts";
import { StorageBreaker } from "../../../src/publisher/storage_breaker.ts";
import { Ballast } from "../../../src/storage/ballast.ts";
import { Checkpoints } from "../../../src/storage/wal.ts";
import { eventually } from "../../support/eventually.ts";
import { type TestQueue, testQueue } from "../../support/queue_file.ts";

const NEVER = new AbortController().signal;

function breakerOf({ file }: TestQueue, counts = new PublisherCounts()): StorageBreaker {
  const ballast = new Ballast(file.path, 0);
  return new StorageBreaker({ file, ballast, checkpoints: new Checkpoints(file), counts });
}

function failing(times: number): () => string {
  let tries = 0;
  return () => {
    if (++tries <= times) throw new Error(`failure ${tries}`);
    return "settled";
  };
}

test("retries until the file works, counts each failure and keeps the last one", async () => {
  using queue = testQueue();
  const counts = new PublisherCounts();
  const storage = breakerOf(queue, counts);

  assert.equal(await storage.retrySettle(failing(2), NEVER), "settled");
  assert.equal(counts.storageFailures, 2);
  assert.equal(storage.lastProblem?.message, "failure 2");
  assert.ok(storage.failures > 0, "only the caller knows that the file was written");
  await eventually("the end of the backoff", () => storage.openForMs() === 0);
  storage.succeeded();
  assert.equal(storage.failures, 0);
});

test("tries once more when it is stopped, and rejects with the last failure", async () => {
  using queue = testQueue();
  const stop = new AbortController();
  const settled = breakerOf(queue).retrySettle(failing(10), stop.signal);
  stop.abort();
  await assert.rejects(settled, /^Error: failure 2$/);
});
