import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DedupIndex, type DedupLimits, formatIds } from "../../../../src/collector/dedup/index.ts";
import { type EventIds, parseEventIds } from "../../../../src/wire/event_ids.ts";
import { queueUuid } from "../../../support/batches.ts";

function idsOf(ranges: string, queue = 1): EventIds {
  const ids = parseEventIds(`${queueUuid(queue)}:${ranges}`);
  assert.ok(ids, ranges);
  return ids;
}

function* each({ ranges }: EventIds): Generator<number> {
  for (const { firstId, lastId } of ranges) for (let id = firstId; id <= lastId; id++) yield id;
}

/** Which ids of a batch were seen. */
function seenOf(seen: DedupIndex, ids: EventIds): number[] {
  const found = seen.find(ids, ids.count);
  const list = [...each(ids)].filter((_, index) => found.has(index));
  assert.equal(found.count, list.length);
  return list;
}

/** Ids below 60 as `Event-Ids` lists them, in ranges that may touch. */
const someIds = fc
  .record({
    cuts: fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 10 }),
    queue: fc.nat(3),
  })
  .map(({ cuts, queue }) => {
    const sorted = cuts.toSorted((a, b) => a - b);
    const ranges: string[] = [];
    for (let at = 0; at < sorted.length; at += 2)
      ranges.push(sorted[at + 1] === undefined ? `${sorted[at]}` : `${sorted[at]}-${sorted[at + 1]}`);
    return idsOf(ranges.join(","), queue);
  });

test("knows the ids that a set of them knows, in whatever order they come", () => {
  fc.assert(
    fc.property(fc.array(someIds, { maxLength: 40 }), (batches) => {
      const seen = new DedupIndex();
      const model = new Set<string>();
      for (const ids of batches) {
        const expected = [...each(ids)].filter((id) => model.has(`${ids.queue} ${id}`));
        assert.deepEqual(seenOf(seen, ids), expected);
        seen.add(ids, ids.count);
        for (const id of each(ids)) model.add(`${ids.queue} ${id}`);
      }
    }),
  );
});

test("never takes an id for seen that was not, however little it may remember", () => {
  const limits: fc.Arbitrary<DedupLimits> = fc.record({
    maxQueues: fc.integer({ min: 1, max: 3 }),
    maxRanges: fc.integer({ min: 1, max: 6 }),
    maxRangesPerQueue: fc.integer({ min: 1, max: 3 }),
    maxBatches: fc.integer({ min: 1, max: 2 }),
  });
  fc.assert(
    fc.property(limits, fc.array(someIds, { maxLength: 40 }), (limits, batches) => {
      const seen = new DedupIndex(limits);
      const model = new Set<string>();
      for (const ids of batches) {
        for (const id of seenOf(seen, ids)) assert.ok(model.has(`${ids.queue} ${id}`), `${ids.queue} ${id}`);
        seen.add(ids, ids.count);
        for (const id of each(ids)) model.add(`${ids.queue} ${id}`);
        assert.ok([...seen.queues()].length <= limits.maxQueues);
        assert.ok(seen.format(ids.queue)!.split(",").length <= limits.maxRangesPerQueue);
      }
    }),
  );
});

test("is the same after it was written down and read again", () => {
  const batches = fc.array(fc.record({ ids: someIds, missing: fc.nat(2) }), { maxLength: 30 });
  fc.assert(
    fc.property(batches, someIds, (batches, asked) => {
      const seen = new DedupIndex();
      for (const { ids, missing } of batches) seen.add(ids, Math.max(0, ids.count - missing));
      const again = new DedupIndex();
      for (const queue of seen.queues()) assert.ok(again.restore(seen.format(queue)!));
      assert.deepEqual([...again.queues()], [...seen.queues()]);
      for (const count of [asked.count, asked.count - 1])
        assert.equal(again.find(asked, count).count, seen.find(asked, count).count);
    }),
  );
});

test("makes one range of those that touch", () => {
  const seen = new DedupIndex();
  for (const ranges of ["1-10", "21-30", "11-20", "32", "41-50"])
    seen.add(idsOf(ranges), idsOf(ranges).count);
  assert.equal(seen.format(queueUuid(1)), `${queueUuid(1)}:1-30,32,41-50`);
});

test("forgets the lowest ids of a queue first, and then keeps their events twice rather than lose others", () => {
  const seen = new DedupIndex({ maxRangesPerQueue: 2 });
  for (const id of ["1", "3", "5"]) seen.add(idsOf(id), 1);
  assert.deepEqual(seenOf(seen, idsOf("1-5")), [3, 5]);
});

test("forgets the queue first that sent nothing for longest, and says which", () => {
  const forgotten: string[] = [];
  const seen = new DedupIndex({ maxQueues: 2 }, (queue) => forgotten.push(queue));
  for (const queue of [1, 2, 1, 3]) seen.add(idsOf("7", queue), 1);
  assert.deepEqual(forgotten, [queueUuid(2)]);
  assert.deepEqual(seenOf(seen, idsOf("7", 1)), [7]);
  assert.deepEqual(seenOf(seen, idsOf("7", 2)), []);
});

test("knows a batch with more ids than events by its very ranges and number of events alone", () => {
  const seen = new DedupIndex({ maxBatches: 1 });
  seen.add(idsOf("1-10"), 8);
  assert.equal(seen.find(idsOf("1-10"), 8).count, 8);
  assert.equal(seen.find(idsOf("1-10"), 9).count, 0, "other events are in it");
  assert.equal(seen.find(idsOf("1-10"), 10).count, 0);
  assert.equal(seen.find(idsOf("1-5"), 5).count, 0, "which of them were kept is not known");
  seen.add(idsOf("21-30"), 8);
  assert.equal(seen.find(idsOf("1-10"), 8).count, 0, "one batch is remembered, and this is the older one");
});

test("knows a batch with more ids than events when all of the ids were seen", () => {
  const seen = new DedupIndex();
  seen.add(idsOf("1-10"), 10);
  assert.equal(seen.find(idsOf("2-9"), 5).count, 5);
  assert.equal(seen.find(idsOf("2-11"), 5).count, 0);
});

test("restores nothing from a text that is not its own", () => {
  const seen = new DedupIndex();
  for (const text of [
    "",
    "x",
    `${queueUuid(1)}`,
    `${queueUuid(1)}:5-1`,
    `${queueUuid(1)}:1-5 6`,
    `${queueUuid(1)}:1\0`,
  ])
    assert.equal(seen.restore(text), false, text);
  assert.deepEqual([...seen.queues()], []);
});

test("writes ids as the header has them", () => {
  const header = `${queueUuid(1)}:101-350,352,400-401`;
  assert.equal(formatIds(parseEventIds(header)!), header);
});
