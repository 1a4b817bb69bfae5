import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type EventIds, parseEventIds, selectIds } from "../../../src/wire/event_ids.ts";

const QUEUE = "0b9ee1f4-6b1c-4f8e-9d1e-2f3a4b5c6d7e";

/** Each id by itself. */
function idsOf({ ranges }: EventIds): number[] {
  return ranges.flatMap(({ firstId, lastId }) =>
    Array.from({ length: lastId - firstId + 1 }, (_, index) => firstId + index),
  );
}

test("keeps the ids of the events that are wanted, in order, as few ranges", () => {
  const ids = parseEventIds(`${QUEUE}:1-5,8,10-12`)!;
  const without = new Set([0, 2, 5]);
  assert.deepEqual(
    selectIds(ids, (index) => !without.has(index)),
    parseEventIds(`${QUEUE}:2,4-5,10-12`),
  );
});

test("keeps of any ids those that are wanted, and no others", () => {
  const gaps = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(gaps, fc.infiniteStream(fc.boolean()), (steps, coins) => {
      let id = 0;
      const all = steps.map((step) => {
        id += step;
        return id;
      });
      const ids = parseEventIds(`${QUEUE}:${all.join(",")}`)!;
      const wanted = all.map(() => coins.next().value as boolean);
      const selected = selectIds(ids, (index) => wanted[index]!);
      assert.deepEqual(
        idsOf(selected),
        all.filter((_, index) => wanted[index]),
      );
      assert.equal(selected.count, idsOf(selected).length);
      assert.equal(selected.queue, QUEUE);
    }),
  );
});
