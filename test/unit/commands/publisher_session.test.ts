import assert from "node:assert/strict";
import { test } from "node:test";
import { garbageCollection } from "../../../src/commands/publisher_session.ts";
import type { DeliveredEvents } from "../../../src/publisher/hooks.ts";

const FULL_BATCH_BYTES = 500_000;

/** Delivers full batches, one each `everyMs`, with a collector that takes `gcMs`. Returns the times of its collections. */
function deliver(batches: number, { everyMs, gcMs }: { everyMs: number; gcMs: number }): number[] {
  let nowMs = 0;
  const collectedAtMs: number[] = [];
  const onDelivered = garbageCollection(
    () => {
      collectedAtMs.push(nowMs);
      nowMs += gcMs;
    },
    () => nowMs,
  );
  for (let batch = 0; batch < batches; batch++) {
    nowMs += everyMs;
    onDelivered?.({ sizeBytes: FULL_BATCH_BYTES } as DeliveredEvents);
  }
  return collectedAtMs;
}

test("collects garbage after every 16 full batches of a drain", () => {
  assert.deepEqual(deliver(64, { everyMs: 10, gcMs: 1 }), [160, 321, 482, 643]);
});

test("spends at most 5 % of the time on garbage collections, however long they take", () => {
  for (const gcMs of [10, 100, 1_000]) {
    const collectedAtMs = deliver(20_000, { everyMs: 3, gcMs });
    assert.ok(collectedAtMs.length > 1, `${gcMs}`);
    for (const [index, atMs] of collectedAtMs.slice(1).entries())
      assert.ok(atMs - collectedAtMs[index]! >= 20 * gcMs, `${gcMs}`);
  }
});

test("never collects garbage for a few batches, nor under a runtime that has no need of it", () => {
  assert.deepEqual(deliver(15, { everyMs: 60_000, gcMs: 1 }), []);
  assert.equal(garbageCollection() === undefined, !("Bun" in globalThis));
});
