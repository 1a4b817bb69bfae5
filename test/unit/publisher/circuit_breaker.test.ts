import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BACKOFF_BASE_MS,
  backoffMs,
  CircuitBreaker,
  StorageBreaker,
} from "../../../src/publisher/circuit_breaker.ts";
import { PublisherCounts } from "../../../src/publisher/counts.ts";
import { Ballast } from "../../../src/storage/ballast.ts";
import { Checkpoints } from "../../../src/storage/wal.ts";
import { BACKOFF_MAX_MS } from "../../../src/wire/retry_after.ts";
import { eventually } from "../../support/eventually.ts";
import fc from "../../support/fast_check.ts";
import { type TestQueue, testQueue } from "../../support/queue_file.ts";

test("is closed until something fails", () => {
  const breaker = new CircuitBreaker();

  assert.equal(breaker.failures, 0);
  assert.deepEqual([breaker.openForMs(), breaker.failingForMs()], [0, 0]);
});

test("opens for a backoff when a request fails, then allows one probe", () => {
  const breaker = new CircuitBreaker();

  const openForMs = breaker.failed(0, 1_000);

  assert.ok(openForMs > 0 && openForMs <= BACKOFF_BASE_MS, String(openForMs));
  assert.equal(breaker.openForMs(1_000), openForMs);
  assert.equal(breaker.openForMs(1_000 + BACKOFF_BASE_MS), 0);
});

test("closes once the probe succeeds", () => {
  const breaker = new CircuitBreaker();
  breaker.failed(0, 1_000);

  breaker.succeeded(2_000);

  assert.deepEqual([breaker.failures, breaker.openForMs(2_000)], [0, 0]);
});

test("counts concurrent failures once", () => {
  const breaker = new CircuitBreaker();

  for (let request = 0; request < 4; request++) breaker.failed(0, 1_000);

  assert.equal(breaker.failures, 1);
});

test("counts each failed probe, and stays open for longer", () => {
  const breaker = new CircuitBreaker();
  let nowMs = 1_000;
  for (let failures = 1; failures <= 30; failures++) {
    const openForMs = breaker.failed(0, nowMs);
    assert.equal(breaker.failures, failures);
    assert.ok(openForMs <= Math.min(60_000, 500 * 2 ** (failures - 1)), `${failures}: ${openForMs}`);
    nowMs += openForMs + 1;
  }
});

test("stays open for the time of Retry-After and a jitter", () => {
  const breaker = new CircuitBreaker();

  const openForMs = breaker.failed(90_000, 1_000);

  assert.ok(openForMs > 90_000 && openForMs <= 90_000 + BACKOFF_BASE_MS, String(openForMs));
});

test("keeps the longest wait of concurrent failures", () => {
  const breaker = new CircuitBreaker();
  breaker.failed(90_000, 1_000);

  assert.ok(breaker.failed(0, 1_000) > 90_000);
  assert.ok(breaker.failed(5_000, 2_000) > 89_000);
});

test("is not closed by a request that was in flight when another failed", () => {
  const breaker = new CircuitBreaker();
  breaker.failed(90_000, 1_000);

  breaker.succeeded(1_010);

  assert.ok(breaker.openForMs(1_010) > 89_900, "the time of Retry-After is not over");
  assert.equal(breaker.failures, 1);
});

test("says how long ago the failures began", () => {
  const breaker = new CircuitBreaker();
  breaker.failed(0, 1_000);
  breaker.failed(0, 31_000);

  assert.equal(breaker.failingForMs(61_000), 60_000);

  breaker.succeeded(200_000);
  assert.equal(breaker.failingForMs(200_000), 0);
  breaker.failed(0, 300_000);
  assert.equal(breaker.failingForMs(300_500), 500, "restarts after a success");
});

test("uses a monotonic clock", () => {
  const breaker = new CircuitBreaker();
  const wallClock = Date.now;
  try {
    breaker.failed(60_000);
    Date.now = () => wallClock() + 86_400_000;
    assert.ok(breaker.openForMs() > 0);
    assert.ok(breaker.failingForMs() < 60_000);
    Date.now = () => wallClock() - 86_400_000;
    assert.ok(breaker.openForMs() <= 60_000 + BACKOFF_BASE_MS);
    assert.ok(breaker.failingForMs() >= 0);
  } finally {
    Date.now = wallClock;
  }
});

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

test("a backoff doubles its ceiling with each failure, up to a minute", () => {
  const ceilings = Array.from({ length: 10 }, (_, index) => backoffMs(index + 1, { random: 1 }));

  assert.deepEqual(ceilings, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  assert.equal(ceilings[0], BACKOFF_BASE_MS);
  assert.equal(backoffMs(Number.MAX_SAFE_INTEGER, { random: 1 }), BACKOFF_MAX_MS);
});

test("a backoff can be any time from zero to its ceiling", () => {
  assert.equal(backoffMs(3, { random: 0 }), 0);
  assert.equal(backoffMs(3, { random: 0.25 }), 500);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000 }), (failures) => {
      const waitMs = backoffMs(failures);
      assert.ok(waitMs >= 0 && waitMs < BACKOFF_MAX_MS, String(waitMs));
      assert.notEqual(backoffMs(failures), waitMs, "two publishers do not come back at one time");
    }),
  );
});
