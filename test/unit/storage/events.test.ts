import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { test } from "node:test";
import { putEvents, type TestQueue, testQueue } from "../../support/queue_file.ts";

const BODY = Buffer.from("{}");

function idsOf(rows: readonly { readonly id: number }[]): number[] {
  return rows.map(({ id }) => id);
}

/** A queue with room for `maxEvents`. */
function smallQueue(maxEvents: number): TestQueue {
  const queue = testQueue();
  queue.events.setMaxEvents(maxEvents);
  return queue;
}

test("a full queue rejects every put until an event is delivered", () => {
  using queue = smallQueue(2);
  const { events, leases } = queue;
  assert.deepEqual([events.room(), events.isFull()], [2, false]);
  const stored = [1, 2, 3, 4].map(() => events.put(BODY));
  assert.deepEqual(stored, [true, true, false, false]);
  assert.deepEqual([events.depth(), events.room(), events.isFull()], [2, 0, true]);

  leases.ack(leases.claim(0, 1)!);
  assert.deepEqual([events.put(BODY, "a trace"), events.put(BODY)], [true, false]);
  assert.deepEqual(idsOf(events.read({ fromId: 1, limit: 9 })), [1, 2, 3]);
});

test("many events are put all or none, or as many as fit", () => {
  using queue = smallQueue(40);
  const { events } = queue;
  assert.equal(events.putMany(Array(41).fill(BODY)), false);
  assert.equal(events.depth(), 0);
  assert.equal(events.putMany(Array(37).fill(BODY)), true);
  assert.equal(events.putWhatFits([BODY, BODY]), 2);
  assert.equal(
    events.putWhatFits([BODY, BODY], () => "a trace"),
    1,
  );
  assert.equal(events.putWhatFits([BODY]), 0);
  assert.deepEqual([events.depth(), idsOf(events.read({ fromId: 39, limit: 9 }))], [40, [39, 40]]);
  events.setMaxEvents(10);
  assert.deepEqual([events.room(), events.putWhatFits([BODY]), events.depth()], [-30, 0, 40]);
});

test("no way to put stores events in a file that was removed: nobody would find them", () => {
  for (const put of [
    ({ events }: TestQueue) => events.put(BODY),
    ({ events }: TestQueue) => events.put(BODY, "a trace"),
    ({ events }: TestQueue) => events.putMany([BODY]),
    ({ events }: TestQueue) => events.putWhatFits([BODY]),
  ]) {
    using queue = testQueue();
    rmSync(queue.file.path);
    assert.throws(() => put(queue), { code: "MOVED" });
  }
});

test("events are put in their order, in rows of any number", () => {
  using queue = testQueue();
  for (const count of [1, 15, 16, 17, 33]) putEvents(queue.events, count);
  const bodies = queue.events.read({ fromId: 1, limit: 999 }).map(({ body }) => Buffer.from(body).toString());
  const expected = [1, 15, 16, 17, 33].flatMap((count) =>
    Array.from({ length: count }, (_, n) => `e${n + 1}`),
  );
  assert.deepEqual(bodies, expected);
});

test("pages of waiting and of delivered events begin where they are asked to", () => {
  using queue = testQueue();
  const { events, leases } = queue;
  putEvents(events, 9);
  leases.ack(leases.claim(0, 4)!);
  const lease = leases.claim(4, 6)!;
  assert.deepEqual(idsOf(events.readWaiting({ fromId: 1, limit: 9 })), [5, 6, 7, 8, 9]);
  assert.deepEqual(idsOf(events.readWaiting({ fromId: 6, limit: 2 })), [6, 7]);
  assert.deepEqual(idsOf(events.readDelivered({ limit: 9 })), [4, 3, 2, 1]);
  assert.deepEqual(idsOf(events.readDelivered({ beforeId: 4, limit: 2 })), [3, 2]);
  assert.deepEqual(idsOf(events.read({ fromId: 3, toId: 5, limit: 9 })), [3, 4, 5]);
  leases.ack(lease);
  assert.deepEqual(idsOf(events.readDelivered({ limit: 1 })), [6]);
});

test("retention and the counts of rejected puts are kept in the file, and only what is given changes", () => {
  using queue = testQueue();
  const { events } = queue;
  assert.deepEqual(events.retention(), { maxAgeMs: undefined, maxBytes: undefined });
  for (const retention of [{ maxAgeMs: 5 }, { maxBytes: 7 }, { maxAgeMs: 5, maxBytes: 7 }]) {
    events.setRetention(retention);
    assert.deepEqual(events.retention(), { maxAgeMs: undefined, maxBytes: undefined, ...retention });
  }
  events.addRejected(new Map([["full", 2]]));
  events.addRejected(new Map([["full", 1]]));
  assert.equal(events.state().rejectedPuts.full, 3);
});
