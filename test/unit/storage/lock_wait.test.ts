import assert from "node:assert/strict";
import { test } from "node:test";
import { isBusy, retryWhileBusy } from "../../../src/storage/lock_wait.ts";

const failure = (code: string): Error => Object.assign(new Error(code), { code });

/** An attempt that fails with the given codes, one after the other, and then succeeds. */
function attemptAfter(...codes: string[]): () => string {
  return () => {
    const code = codes.shift();
    if (code !== undefined) throw failure(code);
    return "done";
  };
}

test("takes every kind of busy for busy, and nothing else", () => {
  for (const code of ["SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_BUSY_RECOVERY", "SQLITE_PROTOCOL"]) {
    assert.equal(isBusy(failure(code)), true, code);
  }
  for (const error of [failure("SQLITE_FULL"), new Error("SQLITE_BUSY"), null, undefined, "SQLITE_BUSY"]) {
    assert.equal(isBusy(error), false);
  }
});

test("tries again until the database is not busy", () => {
  assert.equal(retryWhileBusy(attemptAfter(...Array(20).fill("SQLITE_BUSY")), 10_000), "done");
});

test("does not try again after any other error", () => {
  const attempt = attemptAfter("SQLITE_BUSY", "SQLITE_FULL");
  assert.throws(() => retryWhileBusy(attempt, 10_000), { code: "SQLITE_FULL" });
  assert.equal(attempt(), "done");
});

test("gives up with the busy error when the time is over", () => {
  const startedAtMs = performance.now();
  const alwaysBusy = (): never => {
    throw failure("SQLITE_BUSY");
  };
  assert.throws(() => retryWhileBusy(alwaysBusy, 5), { code: "SQLITE_BUSY" });
  assert.ok(performance.now() - startedAtMs >= 5);
});
