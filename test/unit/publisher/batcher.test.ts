import assert from "node:assert/strict";
import { test } from "node:test";
import {
  DEFAULT_BATCH_MAX_AGE_MS,
  DEFAULT_BATCH_MIN_INTERVAL_MS,
} from "../../../src/config/publisher_config.ts";
import { Batcher, BatchSize } from "../../../src/publisher/batcher.ts";
import type { Lease } from "../../../src/storage/leases.ts";
import { SubscriptionTable } from "../../../src/storage/subscriptions.ts";
import { BATCH_FORMATS, MAX_BATCH_BYTES } from "../../../src/wire/batch_format.ts";
import fc from "../../support/fast_check.ts";
import { putEvents, type TestQueue, testQueue } from "../../support/queue_file.ts";

interface Limits {
  readonly maxBytes?: number;
  readonly size?: BatchSize;
  readonly maxAgeMs?: number;
  readonly minIntervalMs?: number;
}

function batcherOf({ leases }: TestQueue, limits: Limits = {}): Batcher {
  const { maxBytes = MAX_BATCH_BYTES, size = new BatchSize(maxBytes) } = limits;
  const { maxAgeMs = DEFAULT_BATCH_MAX_AGE_MS, minIntervalMs = DEFAULT_BATCH_MIN_INTERVAL_MS } = limits;
  return new Batcher(leases, {
    emptyBytes: BATCH_FORMATS["2j"].baseBytes,
    size,
    maxAgeMs,
    minIntervalMs,
  });
}

function putSized({ events }: TestQueue, ...sizesBytes: number[]): void {
  events.putMany(sizesBytes.map((size) => Buffer.alloc(size, "x")));
}

function rangeOf(lease: Lease | undefined): [number, number] | undefined {
  return lease && [lease.firstId, lease.lastId];
}

test("has nothing to send while the queue is empty", () => {
  using queue = testQueue();
  const batcher = batcherOf(queue);

  batcher.refresh(0);

  assert.equal(batcher.dueInMs(true, 1_000_000), Number.POSITIVE_INFINITY);
});

test("is due when its first event has waited for the maximum age", () => {
  using queue = testQueue();
  const batcher = batcherOf(queue);
  batcher.refresh(0);
  putEvents(queue.events, 1);
  batcher.refresh(5_000);
  assert.equal(batcher.dueInMs(true, 5_000), 1_000);

  putEvents(queue.events, 2);
  batcher.refresh(5_900);

  assert.equal(batcher.dueInMs(true, 5_900), 100);
  assert.equal(batcher.dueInMs(true, 6_000), 0);
  assert.equal(batcher.dueInMs(true, 9_000), 0);
  assert.deepEqual(rangeOf(batcher.claim()), [1, 3]);
});

test("rests after a claim for the shorter of its limits, and not while more events wait", () => {
  for (const [minIntervalMs, maxAgeMs, restMs] of [
    [50, 1_000, 50],
    [50, 0, 0],
  ] as const) {
    using queue = testQueue();
    const batcher = batcherOf(queue, { minIntervalMs, maxAgeMs, maxBytes: 20 });
    putEvents(queue.events, 1);
    batcher.refresh(0);
    assert.equal(batcher.restMs, restMs);
    putEvents(queue.events, 20);
    batcher.refresh(0);
    assert.equal(batcher.restMs, 0);
  }
});

test("sends a single event at once, and collects those that follow soon", () => {
  using queue = testQueue();
  const batcher = batcherOf(queue, { minIntervalMs: 50 });
  putEvents(queue.events, 1);
  batcher.refresh(5_000);
  assert.equal(batcher.dueInMs(false, 5_000), 0);
  batcher.claim(5_000);

  putEvents(queue.events, 1);
  batcher.refresh(5_010);
  assert.equal(batcher.dueInMs(false, 5_010), 40);
  assert.equal(batcher.dueInMs(false, 5_050), 0);
});

test("collects while a batch is in flight, up to the maximum age", () => {
  using queue = testQueue();
  const batcher = batcherOf(queue, { minIntervalMs: 50, maxAgeMs: 1_000 });
  putEvents(queue.events, 1);
  batcher.refresh(5_000);

  assert.equal(batcher.dueInMs(true, 5_100), 900);
  assert.equal(batcher.dueInMs(true, 6_000), 0);
  assert.equal(batcher.dueInMs(false, 5_100), 0, "no batch is in flight any more");
});

test("never waits longer than the maximum age, even if the interval is longer", () => {
  using queue = testQueue();
  const batcher = batcherOf(queue, { minIntervalMs: 60_000, maxAgeMs: 1_000 });
  putEvents(queue.events, 1);
  batcher.refresh(5_000);
  batcher.claim(5_000);
  putEvents(queue.events, 1);
  batcher.refresh(5_500);

  assert.equal(batcher.dueInMs(false, 5_500), 500, "it may have come right after the claim");
});

test("claims a gap of deleted rows together with the next events", () => {
  using queue = testQueue();
  const batcher = batcherOf(queue);
  putEvents(queue.events, 5_000);
  queue.file.db.exec("DELETE FROM eventspool_event WHERE id < 4999");

  batcher.refresh();
  batcher.refresh();

  assert.deepEqual(rangeOf(batcher.claim()), [1, 5_000]);
});

test("is due at once with a maximum age of zero", () => {
  using queue = testQueue();
  const batcher = batcherOf(queue, { maxAgeMs: 0 });
  putEvents(queue.events, 1);
  batcher.refresh(7);
  assert.equal(batcher.dueInMs(true, 7), 0);
});

test("is due at once when the next event does not fit, and has exactly those that fit", () => {
  using queue = testQueue();
  const batcher = batcherOf(queue, { maxBytes: 100 });
  putSized(queue, 48, 48, 1);

  batcher.refresh(0);

  assert.equal(batcher.dueInMs(true, 0), 0);
  assert.deepEqual(rangeOf(batcher.claim()), [1, 2]);
  batcher.refresh(10);
  assert.equal(batcher.dueInMs(true, 10), 1_000, "the rest waits for more events");
});

test("sends an event that is larger than any batch alone", () => {
  using queue = testQueue();
  const batcher = batcherOf(queue, { maxBytes: 100 });
  putSized(queue, 10, 500, 10);

  assert.deepEqual(claimAll(batcher), [
    [1, 1],
    [2, 2],
    [3, 3],
  ]);
});

test("starts after the events that another publisher has claimed", () => {
  using queue = testQueue();
  const batcher = batcherOf(queue);
  putEvents(queue.events, 5);
  batcher.refresh(0);

  assert.ok(queue.leases.claim(0, 3));

  assert.equal(batcher.claim(), undefined, "the other publisher was faster");
  batcher.refresh(500);
  assert.equal(batcher.dueInMs(true, 500), 1_000);
  assert.deepEqual(rangeOf(batcher.claim()), [4, 5]);
});

test("measures the age with a monotonic clock", () => {
  using queue = testQueue();
  const batcher = batcherOf(queue, { maxAgeMs: 60_000 });
  const wallClock = Date.now;
  putEvents(queue.events, 1);
  batcher.refresh();
  try {
    for (const stepMs of [-3_600_000, 3_600_000]) {
      Date.now = () => wallClock() + stepMs;
      const dueInMs = batcher.dueInMs(true);
      assert.ok(dueInMs > 0 && dueInMs <= 60_000, String(dueInMs));
    }
  } finally {
    Date.now = wallClock;
  }
});

test("claims a released lease before new events", () => {
  using queue = testQueue();
  const batcher = batcherOf(queue);
  putEvents(queue.events, 4);
  assert.equal(batcher.reclaim(), undefined);
  queue.leases.release(queue.leases.claim(0, 3)!);

  assert.deepEqual(batcher.reclaim(), { id: 1, firstId: 1, lastId: 3, attempts: 2, sends: 2 });
  assert.equal(batcher.reclaim(), undefined);
});

test("splits a lease that is larger than today's limit", () => {
  using queue = testQueue();
  const batcher = batcherOf(queue, { maxBytes: 100 });
  putSized(queue, 48, 48, 48, 48, 48);
  queue.leases.release(queue.leases.claim(0, 5)!);

  const ranges = [batcher.reclaim(), batcher.reclaim(), batcher.reclaim()].map(rangeOf);

  assert.deepEqual(ranges, [
    [1, 2],
    [3, 4],
    [5, 5],
  ]);
  assert.equal(batcher.reclaim(), undefined);
});

test("claims a lease of one event of any size", () => {
  using queue = testQueue();
  const batcher = batcherOf(queue, { maxBytes: 100 });
  putSized(queue, 500);
  queue.leases.release(queue.leases.claim(0, 1)!);
  assert.deepEqual(rangeOf(batcher.reclaim()), [1, 1]);
});

test("ends a batch with the epoch of its events, and is due then: a request names one UUID", () => {
  using queue = testQueue();
  putSized(queue, 10, 10, 10, 10);
  queue.leases.epochs.rolledBack(3, queue.leases.epochs.uuidAt(3));
  const batcher = batcherOf(queue);

  batcher.refresh(0);
  assert.equal(batcher.dueInMs(true, 0), 0);
  assert.deepEqual(rangeOf(batcher.claim(0)), [1, 2]);
  batcher.refresh(0);
  assert.equal(batcher.dueInMs(true, 0), DEFAULT_BATCH_MAX_AGE_MS);
  assert.deepEqual(rangeOf(batcher.claim(0)), [3, 4]);
});

test("claims of a lease whose events have two UUIDs, from a salvaged file say, one part at a time", () => {
  using queue = testQueue();
  putSized(queue, 10, 10, 10, 10);
  queue.leases.release(queue.leases.claim(0, 4)!);
  queue.leases.epochs.rolledBack(3, queue.leases.epochs.uuidAt(3));
  const batcher = batcherOf(queue);
  assert.deepEqual(rangeOf(batcher.reclaim()), [1, 2]);
  assert.deepEqual(rangeOf(batcher.reclaim()), [3, 4]);
});

test("claims a replay in batches of the same size, and of one epoch", () => {
  using queue = testQueue();
  putSized(queue, ...Array<number>(10).fill(100));
  queue.leases.ack(queue.leases.claim(0, 10)!);
  queue.leases.epochs.rolledBack(6, queue.leases.epochs.uuidAt(6));
  const batcher = batcherOf(queue, { maxBytes: 350 });
  batcher.refresh(0);
  assert.equal(batcher.claimReplay(), undefined);

  new SubscriptionTable(queue.file).replay("default", { firstId: 2, lastId: 9 });
  batcher.refresh(0);
  const claimed = [1, 2, 3, 4].map(() => rangeOf(batcher.claimReplay()));
  assert.deepEqual(claimed, [
    [2, 4],
    [5, 5],
    [6, 8],
    [9, 9],
  ]);
  assert.equal(batcher.claimReplay(), undefined);
});

test("skips rows that somebody deleted", () => {
  using queue = testQueue();
  const batcher = batcherOf(queue, { maxAgeMs: 0 });
  putEvents(queue.events, 12);
  queue.file.db.exec("DELETE FROM eventspool_event WHERE id IN (1, 2, 3, 7, 8)");

  const claimed = claimAll(batcher);

  assert.equal(claimed.at(-1)?.[1], 12);
  assert.ok(claimed.every(([first], index) => first === (claimed[index - 1]?.[1] ?? 0) + 1));
});

test("claims each event once and in order, whenever it is put", () => {
  const puts = fc.array(fc.array(fc.integer({ min: 1, max: 120 }), { maxLength: 6 }), { maxLength: 15 });
  fc.assert(
    fc.property(puts, (puts) => {
      using queue = testQueue();
      const batcher = batcherOf(queue, { maxBytes: 100 });
      const claimed: [number, number][] = [];
      for (const sizes of puts) {
        putSized(queue, ...sizes);
        batcher.refresh(0);
        if (batcher.dueInMs(true, 0) === 0) claimed.push(rangeOf(batcher.claim())!);
      }
      claimed.push(...claimAll(batcher));
      assert.equal(claimed.at(-1)?.[1] ?? 0, puts.flat().length);
      assert.ok(claimed.every(([first], index) => first === (claimed[index - 1]?.[1] ?? 0) + 1));
    }),
    { numRuns: 30 },
  );
});

/** Claims all events, each batch as soon as it is due. */
function claimAll(batcher: Batcher): [number, number][] {
  const ranges: [number, number][] = [];
  for (batcher.refresh(0); batcher.dueInMs(true, 1_000_000) === 0; batcher.refresh(0))
    ranges.push(rangeOf(batcher.claim())!);
  return ranges;
}

test("collects a smaller batch after a 413, even if it was full before", () => {
  using queue = testQueue();
  const size = new BatchSize(200_000);
  const batcher = batcherOf(queue, { size });
  putSized(queue, ...Array.from({ length: 30 }, () => 10_000));
  batcher.refresh(0);
  assert.equal(batcher.dueInMs(true, 0), 0, "full");

  size.tooLarge(100_000);
  batcher.refresh(0);

  assert.deepEqual(rangeOf(batcher.claim()), [1, 4]);
});
