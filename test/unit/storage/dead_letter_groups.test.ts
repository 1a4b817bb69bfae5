import assert from "node:assert/strict";
import { test } from "node:test";
import { groupByReason, reasonOf } from "../../../src/storage/dead_letter_groups.ts";
import type { DeadLetterSummary } from "../../../src/storage/dead_letters.ts";
import fc from "../../support/fast_check.ts";

function letter(id: number, response: string, { status = 422, deadAtMs = id } = {}): DeadLetterSummary {
  return { id, status, response, deadAtMs, putAtMs: 0, attempts: 1, sizeBytes: 1 };
}

test("500 equal ones are one group, with the first and the newest", () => {
  const letters = Array.from({ length: 500 }, (_, index) => letter(index + 1, "no noun"));
  const [group, ...others] = groupByReason(letters);
  assert.deepEqual(others, []);
  assert.deepEqual(group, {
    ...{ status: 422, response: "no noun", count: 500, firstDeadAtMs: 1 },
    newest: letters.at(-1),
  });
});

test("responses that differ in numbers and ids are one group, with # in their place", () => {
  const id = "0b7f29a1-5d0c-4b0e-9a5e-7f1d4c1c9d01";
  const letters = [letter(1, `user ${id}: field 3 of utf8`), letter(2, "user 77: field 12 of utf8")];
  assert.deepEqual(
    groupByReason(letters).map(({ response, count }) => [response, count]),
    [["user #: field # of utf8", 2]],
  );
});

test("another status and another text are other groups, the largest first", () => {
  const letters = [letter(1, "a"), letter(2, "b"), letter(3, "b"), letter(4, "b", { status: 400 })];
  assert.deepEqual(
    groupByReason(letters).map(({ status, response, count }) => [status, response, count]),
    [
      [422, "b", 2],
      [400, "b", 1],
      [422, "a", 1],
    ],
  );
});

test("each dead letter is in exactly one group, whatever the order", () => {
  const responses = fc.constantFrom("", "a", "b 1", "b 2", "c\n3", "#", "deadbeef", "beef1");
  fc.assert(
    fc.property(fc.array(responses), (texts) => {
      const letters = texts.map((text, index) => letter(index + 1, text));
      const groups = groupByReason(letters);
      assert.equal(
        groups.reduce((sum, { count }) => sum + count, 0),
        letters.length,
      );
      assert.equal(groups.length, new Set(letters.map(reasonOf)).size);
      assert.deepEqual(
        groupByReason(letters.toReversed()).map(({ count, newest }) => [count, newest.id]),
        groups.map(({ count, newest }) => [count, newest.id]),
      );
    }),
  );
});
