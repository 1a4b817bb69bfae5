import assert from "node:assert/strict";
import { test } from "node:test";
import { DedupIndex, type DedupLimits } from "../../../../src/collector/sinks/dedup_index.ts";
import { type EventIds, eachId, parseEventIds } from "../../../../src/wire/event_ids.ts";
import { queueUuid } from "../../../support/batches.ts";
import fc from "../../../support/fast_check.ts";

const KEY = "web";

function idsOf(ranges: string, queue = 1): EventIds {
  const ids = parseEventIds(`${queueUuid(queue)}:${ranges}`);
  assert.ok(ids, ranges);
  return ids;
}

/** The ids of a batch that are in the index. */
function seenOf(seen: DedupIndex, ids: EventIds, source = KEY): number[] {
  const found = seen.find(source, ids, ids.count);
  const list = [...eachId(ids.ranges)].filter((_, index) => found.has(index));
  assert.equal(found.count, list.length);
  return list;
}

/** Ids below 60 in the format of `Event-Ids`, with ranges that may be adjacent, and their source. */
const someBatch = fc
  .record({
    cuts: fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 10 }),
    queue: fc.nat(3),
    source: fc.constantFrom("a", "b", "c d/é"),
  })
  .map(({ cuts, queue, source }) => {
    const sorted = cuts.toSorted((a, b) => a - b);
    const ranges: string[] = [];
    for (let at = 0; at < sorted.length; at += 2)
      ranges.push(sorted[at + 1] === undefined ? `${sorted[at]}` : `${sorted[at]}-${sorted[at + 1]}`);
    return { ids: idsOf(ranges.join(","), queue), source };
  });

test("the index holds the same ids as a Set, in whatever order they are added", () => {
  fc.assert(
    fc.property(fc.array(someBatch, { maxLength: 40 }), (batches) => {
      const seen = new DedupIndex();
      const model = new Set<string>();
      for (const { ids, source } of batches) {
        const expected = [...eachId(ids.ranges)].filter((id) => model.has(`${source} ${ids.queue} ${id}`));
        assert.deepEqual(seenOf(seen, ids, source), expected);
        seen.add(source, ids, ids.count);
        for (const id of eachId(ids.ranges)) model.add(`${source} ${ids.queue} ${id}`);
      }
    }),
  );
});

test("an id that was not added is never found, however small the limits are", () => {
  const limits: fc.Arbitrary<DedupLimits> = fc.record({
    maxQueues: fc.integer({ min: 1, max: 3 }),
    maxRanges: fc.integer({ min: 1, max: 6 }),
    maxRangesPerQueue: fc.integer({ min: 1, max: 3 }),
    maxFullSources: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(
    fc.property(limits, fc.array(someBatch, { maxLength: 40 }), (limits, batches) => {
      const seen = new DedupIndex(limits);
      const model = new Set<string>();
      for (const { ids, source } of batches) {
        const name = (id: number) => `${source} ${ids.queue} ${id}`;
        for (const id of seenOf(seen, ids, source)) assert.ok(model.has(name(id)), name(id));
        seen.add(source, ids, ids.count);
        for (const id of eachId(ids.ranges)) model.add(name(id));
        assertBounded(seen, limits);
      }
    }),
  );
});

function assertBounded(seen: DedupIndex, limits: DedupLimits): void {
  const { maxQueues, maxRangesPerQueue, maxFullSources } = limits;
  const queues = [...seen.queues()];
  assert.ok(queues.length <= maxQueues * maxFullSources, "all together");
  for (const name of new Set(queues.map(({ source }) => source)))
    assert.ok(queues.filter(({ source }) => source === name).length <= maxQueues, "of a source");
  for (const queue of queues) assert.ok(seen.format(queue)!.split(",").length <= maxRangesPerQueue);
}

test("a source within its share loses no id, whatever the other sources send", () => {
  const limits: DedupLimits = { maxQueues: 6, maxRanges: 12, maxRangesPerQueue: 4, maxFullSources: 2 };
  const others = fc.array(
    fc.record({
      source: fc.constantFrom("x", "y"),
      queue: fc.integer({ min: 10, max: 99 }),
      id: fc.integer({ min: 1, max: 999 }),
    }),
    { maxLength: 300 },
  );
  fc.assert(
    fc.property(others, (others) => {
      const seen = new DedupIndex(limits);
      const mine = [1, 2, 3].map((queue) => idsOf("1-5,9", queue)); // a third of 12 queues, and of 24 ranges
      for (const ids of mine) seen.add(KEY, ids, ids.count);
      for (const { source, queue, id } of others) seen.add(source, idsOf(`${id}`, queue), 1);
      for (const ids of mine) assert.deepEqual(seenOf(seen, ids), [1, 2, 3, 4, 5, 9]);
    }),
  );
});

test("no source is forgotten when another sends 65,536 requests with a new queue each", () => {
  const seen = new DedupIndex();
  seen.add(KEY, idsOf("1-100"), 100);
  for (let queue = 2; queue < 66_000; queue++) seen.add("flood", idsOf("1", queue), 1);
  assert.equal(seenOf(seen, idsOf("1-100")).length, 100);
  assert.deepEqual(seenOf(seen, idsOf("1", 2), "flood"), [], "the flood has forgotten its own");
});

test("equal ids of different sources are different", () => {
  const seen = new DedupIndex();
  seen.add("other", idsOf("1-100000"), 100_000);
  assert.deepEqual(seenOf(seen, idsOf("1-5")), []);
});

test("the index is the same after it was formatted and restored", () => {
  fc.assert(
    fc.property(fc.array(someBatch, { maxLength: 30 }), someBatch, (batches, asked) => {
      const seen = new DedupIndex();
      for (const { ids, source } of batches) seen.add(source, ids, ids.count);
      const again = new DedupIndex();
      for (const queue of seen.queues()) assert.ok(again.restore(seen.format(queue)!));
      assert.deepEqual([...again.queues()], [...seen.queues()]);
      const { ids, source } = asked;
      assert.deepEqual(seenOf(again, ids, source), seenOf(seen, ids, source));
    }),
  );
});

test("adjacent ranges are merged", () => {
  const seen = new DedupIndex();
  for (const ranges of ["1-10", "21-30", "11-20", "32", "41-50"])
    seen.add(KEY, idsOf(ranges), idsOf(ranges).count);
  const queue = { source: KEY, queue: queueUuid(1) };
  assert.equal(seen.format(queue), `web ${queueUuid(1)}:1-30,32,41-50`);
});

test("the lowest ids of a queue are forgotten first: their events are stored twice, and none is lost", () => {
  const seen = new DedupIndex({ maxRangesPerQueue: 2 });
  for (const id of ["1", "3", "5"]) seen.add(KEY, idsOf(id), 1);
  assert.deepEqual(seenOf(seen, idsOf("1-5")), [3, 5]);
});

test("the queue that sent nothing for the longest time is forgotten first, and reported", () => {
  const forgotten: unknown[] = [];
  const seen = new DedupIndex({ maxQueues: 2 }, (queue) => forgotten.push(queue));
  for (const queue of [1, 2, 1, 3]) seen.add(KEY, idsOf("7", queue), 1);
  assert.deepEqual(forgotten, [{ source: KEY, queue: queueUuid(2) }]);
  assert.deepEqual(seenOf(seen, idsOf("7", 1)), [7]);
  assert.deepEqual(seenOf(seen, idsOf("7", 2)), []);
});

test("nothing is forgotten up to the limits of a source and of all sources, and the largest source forgets first", () => {
  const forgotten: string[] = [];
  const limits: DedupLimits = { maxQueues: 2, maxRanges: 4, maxRangesPerQueue: 4, maxFullSources: 2 };
  const seen = new DedupIndex(limits, ({ source, queue }) => forgotten.push(`${source} ${queue}`));
  const add = (source: string, queue: number, ranges: string): void => {
    const ids = idsOf(ranges, queue);
    seen.add(source, ids, ids.count);
  };
  for (const source of ["a", "b"]) for (const queue of [1, 2]) add(source, queue, "1,3");
  assert.deepEqual(forgotten, []);
  add("a", 2, "5");
  assert.deepEqual(forgotten.splice(0), [`a ${queueUuid(1)}`], "too many ranges of a source");
  add("c", 1, "1,3");
  assert.deepEqual(
    forgotten.splice(0),
    [`b ${queueUuid(1)}`],
    "too many ranges of all sources: b has the most",
  );
  add("c", 2, "1");
  assert.deepEqual(forgotten, []);
  add("d", 1, "1");
  assert.deepEqual(forgotten, [`c ${queueUuid(1)}`], "too many queues of all sources: c has the most");
});

test("the only queue of a source may have more ranges than a source is meant to have", () => {
  const seen = new DedupIndex({ maxRanges: 2, maxRangesPerQueue: 5 });
  seen.add(KEY, idsOf("1,3,5,7"), 4);
  assert.deepEqual(seenOf(seen, idsOf("1-7")), [1, 3, 5, 7]);
});

test("ids are ignored unless there is one per event", () => {
  const seen = new DedupIndex();
  seen.add(KEY, idsOf("1-1000"), 8);
  assert.deepEqual(seenOf(seen, idsOf("1-1000")), []);
  seen.add(KEY, idsOf("1-10"), 10);
  assert.equal(seen.find(KEY, idsOf("1-10"), 9).count, 0);
});

test("a line that is not valid restores nothing", () => {
  const seen = new DedupIndex();
  const ids = `${queueUuid(1)}:1-5`;
  for (const text of [
    "",
    "x",
    ids,
    `web ${queueUuid(1)}`,
    `web ${queueUuid(1)}:5-1`,
    `web ${ids} 6`,
    `web ${ids}\0`,
    `% ${ids}`,
    `a web ${ids}`,
  ])
    assert.equal(seen.restore(text), false, text);
  assert.deepEqual([...seen.queues()], []);
});
