import assert from "node:assert/strict";
import { test } from "node:test";
import { DeadLetterTable } from "../../../src/storage/dead_letters.ts";
import { subscriptionJson } from "../../../src/storage/events.ts";
import { LeaseTable } from "../../../src/storage/leases.ts";
import { isSubscriptionName, SubscriptionTable } from "../../../src/storage/subscriptions.ts";
import { Trimmer } from "../../../src/storage/trim.ts";
import { deadLetter } from "../../support/dead_letters.ts";
import { putEvents, type TestQueue, testQueue } from "../../support/queue_file.ts";

/** A queue whose events have the ids 1 to 5, and were put at 1,000 to 5,000 milliseconds. */
function timedQueue(): TestQueue & { readonly subscriptions: SubscriptionTable } {
  const queue = testQueue();
  putEvents(queue.events, 5);
  queue.file.db.exec("UPDATE eventspool_event SET put_at_ms = id * 1000");
  return { ...queue, subscriptions: new SubscriptionTable(queue.file) };
}

test("a best-effort subscription skips the events that are older than its limit, and no younger one", () => {
  using queue = timedQueue();
  queue.subscriptions.add("audit", { start: "oldest", limit: { maxAgeMs: 2_000 } });
  const audit = () => queue.subscriptions.get("audit");

  assert.deepEqual(queue.subscriptions.skipLagging(3_000), [], "event 1 is as old as the limit");
  assert.deepEqual(queue.subscriptions.skipLagging(4_001), [{ subscription: "audit", count: 2 }]);
  assert.deepEqual([audit().claimedId, audit().depth, audit().oldestPutAtMs], [2, 3, 3_000]);
  assert.deepEqual([audit().skipped, audit().skippedAtMs], [2, 4_001]);
  assert.equal(queue.subscriptions.get("default").depth, 5);
});

test("a best-effort subscription skips down to its limit in events; leases that lie within it end", () => {
  using queue = timedQueue();
  queue.subscriptions.add("audit", { start: "oldest", limit: { maxEvents: 2 } });
  const leases = new LeaseTable(queue.file, 60_000, { subscription: "audit" });
  leases.claim(0, 1);
  leases.claim(1, 4);
  assert.deepEqual(queue.subscriptions.skipLagging(0), [{ subscription: "audit", count: 1 }]);
  assert.deepEqual(queue.subscriptions.skipLagging(0), [], "once");
  assert.deepEqual([queue.subscriptions.get("audit").depth, leases.all().length], [4, 1]);
});

test("the stricter one of two limits decides", () => {
  using queue = timedQueue();
  queue.subscriptions.add("few", { start: "oldest", limit: { maxEvents: 1, maxAgeMs: 60_000 } });
  queue.subscriptions.add("young", { start: "oldest", limit: { maxEvents: 100, maxAgeMs: 500 } });
  assert.deepEqual(queue.subscriptions.skipLagging(5_000), [
    { subscription: "few", count: 4 },
    { subscription: "young", count: 4 },
  ]);
});

test("a subscription starts with the event that was put at a time or later", () => {
  using queue = timedQueue();
  const firstIds = [0, 1_000, 1_001, 2_000, 4_999, 5_000, 5_001].map((timeMs) =>
    queue.subscriptions.firstIdAt(timeMs),
  );
  assert.deepEqual(firstIds, [1, 1, 2, 2, 5, 5, 6]);
  using empty = testQueue();
  assert.equal(new SubscriptionTable(empty.file).firstIdAt(0), 1, "the next one to be put");
  for (const [name, start, claimedId] of [
    ["time", new Date(3_000), 2],
    ["oldest", "oldest", 0],
    ["now", "now", 5],
    ["id", 4, 3],
    ["later", 9, 5],
  ] as const) {
    queue.subscriptions.add(name, { start });
    assert.equal(queue.subscriptions.get(name).claimedId, claimedId, name);
  }
});

test("a replay covers what the subscription has claimed and the file still has", () => {
  using queue = timedQueue();
  queue.file.db.exec("DELETE FROM eventspool_event WHERE id = 1");
  const replayable = (firstId: number, lastId: number) =>
    queue.subscriptions.replayable({ claimedId: 4 }, { firstId, lastId });
  assert.deepEqual(replayable(1, 9), { firstId: 2, lastId: 4 });
  assert.deepEqual(replayable(3, 3), { firstId: 3, lastId: 3 });
  assert.equal(replayable(1, 1), undefined);
  assert.equal(replayable(5, 9), undefined);
  assert.equal(replayable(6, 9), undefined);
  assert.deepEqual(queue.subscriptions.sum({ firstId: 1, lastId: 3 }), { count: 2, bytes: 4 });
});

test("programs get the limits of a subscription in events and seconds", () => {
  using queue = timedQueue();
  queue.subscriptions.add("audit", { start: "oldest", limit: { maxEvents: 3, maxAgeMs: 1_500 } });
  const json = subscriptionJson(queue.subscriptions.get("audit")) as Record<string, unknown>;
  assert.deepEqual([json.required, json.lag_limit_events, json.lag_limit_seconds], [false, 3, 1.5]);
});

test("a subscription's name has at most 100 letters, digits, dots, underscores and hyphens", () => {
  for (const name of ["a", "A-1_b.c", "-", "9", "x".repeat(100)]) assert.ok(isSubscriptionName(name), name);
  for (const name of ["", ".a", "a b", "é", "a/b", "x".repeat(101)])
    assert.ok(!isSubscriptionName(name), name);
});

test("a subscription that begins before events that were trimmed waits for those that are left, and for nothing else", () => {
  for (const move of ["add", "seek"] as const) {
    using queue = timedQueue();
    putEvents(queue.events, 15);
    queue.leases.claim(0, 2);
    queue.leases.ack(queue.leases.claim(2, 10)!);
    queue.leases.claim(10, 12);
    queue.leases.ack(queue.leases.claim(12, 20)!);
    new Trimmer(queue.file).onIdle(60_000);
    if (move === "add") queue.subscriptions.add("late", { start: "oldest" });
    else {
      queue.subscriptions.add("late");
      queue.subscriptions.seek("late", "oldest");
    }
    assert.deepEqual([queue.subscriptions.get("late").depth, queue.events.depth()], [4, 4], move);

    putEvents(queue.events, 1);
    const leases = new LeaseTable(queue.file, 60_000, { subscription: "late" });
    const limits = { maxEvents: 10, maxBytes: 1_000 };
    const claimed = [1, 2, 3].map(() => leases.claimNext(limits)!);
    assert.deepEqual(
      claimed.map(({ firstId, lastId, attempts, sends }) => [firstId, lastId, attempts, sends]),
      [
        [1, 2, 1, 2],
        [11, 12, 1, 2],
        [21, 21, 1, 1],
      ],
    );
    for (const lease of claimed) leases.ack(lease);
    assert.equal(queue.subscriptions.get("late").depth, 0);
  }
});

test("an event that one subscription tries again is no other's, also after the others were trimmed", () => {
  using queue = timedQueue();
  queue.subscriptions.add("audit");
  deadLetter(queue.leases, queue.leases.claim(0, 5)!, { status: 422, response: "no" });
  new DeadLetterTable(queue.file).retry([3], queue.events);
  const audit = new LeaseTable(queue.file, 60_000, { subscription: "audit" });
  assert.equal(audit.claimNext({ maxEvents: 1, maxBytes: 1 }), undefined);
  queue.leases.claim(5, 6);
  new Trimmer(queue.file).onIdle(60_000);
  queue.subscriptions.seek("audit", "oldest");
  putEvents(queue.events, 1);
  assert.equal(audit.claimNext({ maxEvents: 1, maxBytes: 1 })?.firstId, 7);
});
