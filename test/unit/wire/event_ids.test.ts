import assert from "node:assert/strict";
import { test } from "node:test";
import {
  EVENT_IDS_HEADER,
  eachId,
  formatEventIds,
  parseEventIds,
  rangesOf,
  selectIds,
} from "../../../src/wire/event_ids.ts";
import fc from "../../support/fast_check.ts";

const QUEUE = "0b9ee1f4-6b1c-4f8e-9d1e-2f3a4b5c6d7e";

/** Ascending ids, with holes. */
const someIds = fc
  .array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 40 })
  .map((steps) => steps.map((_, at) => steps.slice(0, at + 1).reduce((sum, step) => sum + step, 0)));

test("formats a range as the queue's UUID and its first and last id", () => {
  assert.equal(formatEventIds(QUEUE, [{ firstId: 101, lastId: 350 }]), `${QUEUE}:101-350`);
  assert.equal(
    formatEventIds(QUEUE, [
      { firstId: 1, lastId: 2 },
      { firstId: 7, lastId: 7 },
    ]),
    `${QUEUE}:1-2,7`,
  );
});

test("formats the largest ids as plain digits", () => {
  const lastId = Number.MAX_SAFE_INTEGER;
  const header = formatEventIds(QUEUE, [{ firstId: lastId - 1, lastId }]);
  assert.equal(header, `${QUEUE}:9007199254740990-9007199254740991`);
  assert.equal(parseEventIds(header)?.count, 2);
});

test("has a fixed header name", () => {
  assert.equal(EVENT_IDS_HEADER, "Event-Ids");
});

test("parses what it formats, id by id", () => {
  fc.assert(
    fc.property(someIds, (ids) => {
      const parsed = parseEventIds(formatEventIds(QUEUE, rangesOf(ids)));
      assert.deepEqual([...eachId(parsed!.ranges)], ids);
      assert.deepEqual([parsed!.queue, parsed!.count], [QUEUE, ids.length]);
    }),
  );
});

test("takes adjacent ids together, wherever they are", () => {
  assert.equal(formatEventIds(QUEUE, rangesOf([1, 2, 4, 6, 7, 8])), `${QUEUE}:1-2,4,6-8`);
});

for (const ids of [
  "",
  "0-1",
  "2,1",
  "1-3,3",
  "5-4",
  "1-",
  "-1",
  "1,,2",
  "1 2",
  "9007199254740992",
  "1e3",
  "01x",
]) {
  test(`rejects the ids ${JSON.stringify(ids)}`, () => {
    assert.equal(parseEventIds(`${QUEUE}:${ids}`), undefined);
  });
}

test("keeps the selected ids in order, in few ranges", () => {
  const ids = parseEventIds(`${QUEUE}:1-5,8,10-12`)!;
  const without = new Set([0, 2, 5]);
  assert.deepEqual(
    selectIds(ids, (index) => !without.has(index)),
    parseEventIds(`${QUEUE}:2,4-5,10-12`),
  );
});

test("keeps exactly the selected ids", () => {
  fc.assert(
    fc.property(someIds, fc.infiniteStream(fc.boolean()), (all, coins) => {
      const ids = parseEventIds(`${QUEUE}:${all.join(",")}`)!;
      const wanted = all.map(() => coins.next().value as boolean);
      const selected = selectIds(ids, (index) => wanted[index]!);
      const expected = all.filter((_, index) => wanted[index]);
      assert.deepEqual([...eachId(selected.ranges)], expected);
      assert.deepEqual([selected.count, selected.queue], [expected.length, QUEUE]);
    }),
  );
});
