import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type DeadLetterOptions,
  type DeadLetterSummary,
  DeadLetterTable,
  groupByReason,
  reasonOf,
} from "../../../src/storage/dead_letters.ts";
import { LeaseTable } from "../../../src/storage/leases.ts";
import { deadLetter } from "../../support/dead_letters.ts";
import fc from "../../support/fast_check.ts";
import { putEvents, type TestQueue, testQueue } from "../../support/queue_file.ts";

/** Puts events and has each of them rejected. Returns how many older ones each drove out. */
function buryEach(queue: TestQueue, count: number, bounds: DeadLetterOptions = {}): (number | undefined)[] {
  const leases = new LeaseTable(queue.file, 60_000, bounds);
  const before = queue.events.counters().newestId;
  putEvents(queue.events, count);
  return Array.from({ length: count }, (_, index) => {
    const lease = leases.claim(before + index, before + index + 1)!;
    return deadLetter(leases, lease, { status: 400, response: "no" });
  });
}

test("counts dead letters and their bytes without counting rows, whichever program deletes them", () => {
  using queue = testQueue();
  const deadLetters = new DeadLetterTable(queue.file);
  buryEach(queue, 3);
  assert.deepEqual(deadLetters.totals(), {
    count: 3,
    bytes: 3 * ("e1".length + "no".length),
    droppedCount: 0,
  });

  queue.file.db.exec("DELETE FROM eventspool_dead_letter WHERE id = 2"); // as in an SQLite shell

  assert.deepEqual(deadLetters.totals(), {
    count: 2,
    bytes: 2 * ("e1".length + "no".length),
    droppedCount: 0,
  });
});

test("drops the oldest dead letters beyond the bound in rows, and counts them", () => {
  using queue = testQueue();
  const deadLetters = new DeadLetterTable(queue.file);

  assert.deepEqual(buryEach(queue, 5, { maxCount: 3 }), [0, 0, 0, 1, 1]);

  assert.deepEqual(
    deadLetters.list({ limit: 10 }).map(({ id }) => id),
    [3, 4, 5],
  );
  assert.equal(deadLetters.totals().droppedCount, 2);
  assert.equal(queue.events.state().droppedDeadLetters, 2);
});

test("keeps a new dead letter and drops the one before it, though the clock was set back in between", () => {
  using queue = testQueue();
  const deadLetters = new DeadLetterTable(queue.file);
  buryEach(queue, 2, { maxCount: 2 });

  const { now } = Date;
  try {
    Date.now = () => now() - 3_600_000;
    buryEach(queue, 1, { maxCount: 2 });
  } finally {
    Date.now = now;
  }

  assert.deepEqual(
    deadLetters.list({ limit: 10 }).map(({ id }) => id),
    [2, 3],
  );
});

test("drops as many dead letters as the bound in bytes asks for, the new one too when it is too large by itself", () => {
  using queue = testQueue();
  const deadLetters = new DeadLetterTable(queue.file);
  buryEach(queue, 4); // 4 bytes each

  assert.deepEqual(buryEach(queue, 1, { maxBytes: 11 }), [3]);
  assert.deepEqual(buryEach(queue, 1, { maxBytes: 3 }), [3]);

  assert.deepEqual(deadLetters.totals(), { count: 0, bytes: 0, droppedCount: 6 });
});

test("lists dead letters page by page, and shows one with its body", () => {
  using queue = testQueue();
  const deadLetters = new DeadLetterTable(queue.file);
  buryEach(queue, 5);

  const ids = (afterId: number): number[] => deadLetters.list({ afterId, limit: 2 }).map(({ id }) => id);

  assert.deepEqual([ids(0), ids(2), ids(4)], [[1, 2], [3, 4], [5]]);
  assert.deepEqual(Buffer.from(deadLetters.get(5)!.body), Buffer.from("e5"));
  assert.equal(deadLetters.get(6), undefined);
});

test("puts dead letters back as new events, up to the row cap, and never twice", () => {
  using queue = testQueue();
  const deadLetters = new DeadLetterTable(queue.file);
  buryEach(queue, 4);
  putEvents(queue.events, 1); // id 5
  queue.events.setMaxEvents(3);

  assert.equal(deadLetters.retry([1, 99, 3, 3, 4, 2], queue.events), 2);

  assert.equal(queue.events.depth(), 3);
  assert.deepEqual(
    deadLetters.list({ limit: 10 }).map(({ id }) => id),
    [2, 4],
  );
  const lease = queue.leases.claim(4, 7)!;
  assert.equal(Buffer.from(queue.leases.read(lease).joined).toString(), "e1,e1,e3");
});

test("purges those that are there", () => {
  using queue = testQueue();
  const deadLetters = new DeadLetterTable(queue.file);
  buryEach(queue, 3);

  assert.equal(deadLetters.purge([1, 3, 99]), 2);

  assert.equal(deadLetters.totals().count, 1);
});

test("counts dead letters that were made since a time", () => {
  using queue = testQueue();
  const deadLetters = new DeadLetterTable(queue.file);
  buryEach(queue, 3);
  queue.file.db.exec("UPDATE eventspool_dead_letter SET dead_at_ms = 1000 WHERE id < 3");

  assert.deepEqual(
    [0, 1_000, 1_001].map((sinceMs) => deadLetters.countSince(sinceMs)),
    [3, 3, 1],
  );
});

test("lists the newest first, and those below an id", () => {
  using queue = testQueue();
  const deadLetters = new DeadLetterTable(queue.file);
  buryEach(queue, 5);
  const ids = (range: { beforeId?: number; limit: number }): number[] =>
    deadLetters.listNewest(range).map(({ id }) => id);
  assert.deepEqual(ids({ limit: 2 }), [5, 4]);
  assert.deepEqual(ids({ beforeId: 4, limit: 2 }), [3, 2]);
  assert.deepEqual(ids({ beforeId: 1, limit: 2 }), []);
});

test("goes through all of them page by page, though those that were read are deleted meanwhile", () => {
  using queue = testQueue();
  const deadLetters = new DeadLetterTable(queue.file);
  buryEach(queue, 230);
  const seen: number[] = [];
  for (const page of deadLetters.pages()) {
    const ids = page.map(({ id }) => id);
    seen.push(...ids);
    assert.equal(deadLetters.purge(ids), ids.length);
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 230 }, (_, index) => index + 1),
  );
});

test("leaves out those that died after a time", () => {
  using queue = testQueue();
  const deadLetters = new DeadLetterTable(queue.file);
  buryEach(queue, 3);
  queue.file.db.exec("UPDATE eventspool_dead_letter SET dead_at_ms = 1000 * id");
  assert.deepEqual(
    [...deadLetters.pages(2_000)].flat().map(({ id }) => id),
    [1, 2],
  );
});

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
