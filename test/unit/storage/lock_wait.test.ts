import assert from "node:assert/strict";
import { test } from "node:test";
import { type Clock, isBusy, LockWait, retryWhileBusy } from "../../../src/storage/lock_wait.ts";

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

/** A clock that runs only while somebody sleeps. */
function sleepingClock(): Clock & { atMs: number } {
  const clock = {
    atMs: 0,
    nowMs: () => clock.atMs,
    sleep: (ms: number) => {
      clock.atMs += ms;
    },
  };
  return clock;
}

/** A lock that is held, or not. */
function testLock(timeoutMs = 1_000) {
  const clock = sleepingClock();
  const lock = new LockWait(timeoutMs, clock);
  const state = { isHeld: true, attempts: 0 };
  const attempt = (): string => {
    state.attempts++;
    clock.atMs += 0.01;
    if (state.isHeld) throw failure("SQLITE_BUSY");
    return "done";
  };
  /** How long an attempt takes, in milliseconds, and what comes of it. */
  const waitMs = (timeoutMs?: number): number => {
    const startedAtMs = clock.atMs;
    if (state.isHeld) assert.throws(() => lock.run(attempt, timeoutMs), { code: "SQLITE_BUSY" });
    else assert.equal(lock.run(attempt, timeoutMs), "done");
    return clock.atMs - startedAtMs;
  };
  return { clock, lock, state, waitMs };
}

test("waits once for a lock that is kept, and afterwards 10 ms at a time, now and then", () => {
  const { clock, lock, state, waitMs } = testLock();
  assert.ok(waitMs() >= 1_000);
  const startedAtMs = clock.atMs;
  for (let n = 0; n < 500; n++) assert.ok(waitMs() < 12);
  assert.ok(clock.atMs - startedAtMs < 30, "500 in a row hardly wait at all");
  clock.atMs += 200;
  const { attempts } = state;
  assert.ok(waitMs() >= 10, "a probe");
  assert.ok(state.attempts > attempts + 10);
  assert.ok(waitMs() < 1, "and not the next");
  assert.ok(lock.busyForMs > 1_200);
});

test("waits for the whole time again once an attempt has succeeded", () => {
  const { lock, state, waitMs } = testLock();
  waitMs();
  state.isHeld = false;
  assert.ok(waitMs() < 1);
  assert.equal(lock.busyForMs, 0);
  state.isHeld = true;
  assert.ok(waitMs() >= 1_000);
});

test("an attempt that may not wait long does not take the whole wait from the next one", () => {
  const { state, waitMs } = testLock();
  assert.ok(waitMs(10) < 12);
  const { attempts } = state;
  assert.ok(waitMs(0) < 1);
  assert.equal(state.attempts, attempts + 1, "it tries once");
  assert.ok(waitMs() >= 1_000);
  assert.ok(waitMs(0) < 1);
});
