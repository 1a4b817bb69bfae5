import assert from "node:assert/strict";
import { test } from "node:test";
import { PUT_TIMES } from "../../../src/storage/leases.ts";
import { putEvents, type TestQueue, testQueue } from "../../support/queue_file.ts";

/** Puts so many events, the nth of them at the time n, claims them all, and reads when they were put. */
function putTimes(queue: TestQueue, count: number): readonly number[] {
  putEvents(queue.events, count);
  queue.file.db.exec("UPDATE eventspool_event SET put_at_ms = id");
  return queue.leases.read(queue.leases.claim(0, count)!).putAtMs;
}

test("returns when each of a few events was put, in order", () => {
  for (const count of [1, 2, PUT_TIMES - 1, PUT_TIMES]) {
    using queue = testQueue();
    assert.deepEqual(
      putTimes(queue, count),
      Array.from({ length: count }, (_, index) => index + 1),
    );
  }
});

test("returns when some of many events were put, evenly spread from the first to the last", () => {
  for (const count of [PUT_TIMES + 1, 31, 1_000]) {
    using queue = testQueue();
    const times = putTimes(queue, count);
    assert.deepEqual([times.length, times[0], times.at(-1)], [PUT_TIMES, 1, count]);
    const steps = times.slice(1).map((time, index) => time - times[index]!);
    assert.ok(Math.max(...steps) - Math.min(...steps) <= 1, `${steps}`);
  }
});

test("tells when an event was put that is still there when others of its lease are not", () => {
  using queue = testQueue();
  putEvents(queue.events, 3);
  const lease = queue.leases.claim(0, 3)!;
  queue.file.db.exec(
    "UPDATE eventspool_event SET put_at_ms = id; DELETE FROM eventspool_event WHERE id <> 2",
  );
  assert.deepEqual(queue.leases.read(lease).putAtMs, [2]);
});

test("counts the events ever put, whatever happened to them", async () => {
  using queue = testQueue();
  assert.equal(queue.events.state().newestId, 0);
  putEvents(queue.events, 3);
  assert.equal(queue.events.state().newestId, 3);
  await queue.leases.ack(queue.leases.claim(0, 3)!);
  putEvents(queue.events, 2);
  const { newestId, depth } = queue.events.state();
  assert.deepEqual({ newestId, depth }, { newestId: 5, depth: 2 });
});
