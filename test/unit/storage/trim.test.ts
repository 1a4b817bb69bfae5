import assert from "node:assert/strict";
import { test } from "node:test";
import { LeaseTable } from "../../../src/storage/leases.ts";
import { type IdBounds, SubscriptionTable } from "../../../src/storage/subscriptions.ts";
import { Trimmer } from "../../../src/storage/trim.ts";
import { type TestQueue, testQueue } from "../../support/queue_file.ts";

const QUIET_MS = 1_000;
const DAY_MS = 86_400_000;

function put(queue: TestQueue, count: number, sizeBytes = 100): void {
  queue.events.setMaxEvents(1_000_000);
  queue.events.putMany(Array.from({ length: count }, () => Buffer.alloc(sizeBytes, "x")));
}

function deliver(queue: TestQueue, lastId: number): void {
  assert.ok(queue.leases.ack(queue.leases.claim(queue.leases.claimedId(), lastId)!));
}

/** Trims as an idle publisher does. Returns how many steps it took. */
function trimAll(queue: TestQueue, idleForMs = QUIET_MS): number {
  const trimmer = new Trimmer(queue.file);
  let steps = 0;
  while (trimmer.onIdle(idleForMs)) steps++;
  return steps;
}

/** The ids that are in the file, as ranges. */
function rangesIn({ file }: TestQueue): string {
  const ids = file.db.prepareFirst<[], number>("SELECT id FROM eventspool_event ORDER BY id").all();
  const ranges: { firstId: number; lastId: number }[] = [];
  for (const id of ids) {
    const last = ranges.at(-1);
    if (last?.lastId === id - 1) last.lastId = id;
    else ranges.push({ firstId: id, lastId: id });
  }
  return ranges.map(({ firstId, lastId }: IdBounds) => `${firstId}-${lastId}`).join(" ");
}

test("trims all that is settled, and puts back what is not, byte for byte", () => {
  using queue = testQueue();
  put(queue, 5);
  queue.events.put(Buffer.from([0xff, 0, 1]), "trace");
  const before = queue.events.read({ fromId: 4, limit: 10 });
  deliver(queue, 3);
  assert.equal(trimAll(queue), 1, "it says that there was something");
  assert.deepEqual(queue.events.read({ fromId: 1, limit: 10 }), before);
  deliver(queue, 6);
  trimAll(queue);
  assert.equal(rangesIn(queue), "");
  assert.ok(queue.events.put(Buffer.from("next")));
  assert.equal(rangesIn(queue), "7-7", "an id is never given twice");
});

test("keeps the range of a lease that is stuck, and trims all before and behind it", () => {
  for (const count of [1_000, 100_000]) {
    using queue = testQueue();
    put(queue, count);
    deliver(queue, 100);
    const stuck = queue.leases.claim(100, 200)!;
    deliver(queue, count - 10);
    trimAll(queue);
    assert.equal(rangesIn(queue), `101-200 ${count - 9}-${count}`);
    assert.ok(queue.leases.ack(stuck));
    trimAll(queue);
    assert.equal(rangesIn(queue), `${count - 9}-${count}`);
  }
});

test("keeps what one subscription has not settled, until it is removed", () => {
  using queue = testQueue();
  const subscriptions = new SubscriptionTable(queue.file);
  subscriptions.add("dead");
  put(queue, 1_000);
  deliver(queue, 1_000);
  trimAll(queue);
  assert.equal(rangesIn(queue), "1-1000");
  subscriptions.remove("dead");
  trimAll(queue);
  assert.equal(rangesIn(queue), "");
});

test("waits with little while events flow, and trims it when nothing has happened for a second", () => {
  using queue = testQueue();
  put(queue, 1_000);
  deliver(queue, 1_000);
  const trimmer = new Trimmer(queue.file);
  trimmer.keepUp();
  assert.equal(trimmer.onIdle(10), false);
  assert.equal(rangesIn(queue), "1-1000");
  trimmer.onIdle(QUIET_MS);
  assert.equal(rangesIn(queue), "");
});

test("clears a megabyte at once while events flow, and deletes in chunks when much is to stay", () => {
  using queue = testQueue();
  put(queue, 2_000, 1_000);
  deliver(queue, 1_900);
  new Trimmer(queue.file).keepUp();
  assert.equal(rangesIn(queue), "1901-2000", "in one step");

  put(queue, 8_000, 1_000);
  deliver(queue, 5_000);
  new Trimmer(queue.file).keepUp();
  assert.equal(rangesIn(queue), "1901-10000", "a backlog that is drained waits");
  assert.ok(trimAll(queue, 10) >= 4, "however fast the disk is");
  assert.match(rangesIn(queue), /^\d+-10000$/);
});

test("trims a backlog while it is drained when puts would make the file grow", () => {
  using queue = testQueue();
  put(queue, 5_000, 1_000);
  deliver(queue, 4_000);
  const trimmer = new Trimmer(queue.file);
  for (let rounds = 0; !rangesIn(queue).startsWith("2"); rounds++) {
    assert.ok(rounds < 2_000, `nothing was trimmed: ${rangesIn(queue)}`);
    put(queue, 10, 1_000);
    trimmer.keepUp(1_000_000);
  }
});

test("keeps delivered events for as long as the retention says, out of the depth", () => {
  using queue = testQueue();
  queue.events.setRetention({ maxAgeMs: DAY_MS });
  put(queue, 1_000);
  const yesterdayMs = Date.now() - DAY_MS - 1;
  queue.file.db.exec(`UPDATE eventspool_event SET put_at_ms = ${yesterdayMs} WHERE id <= 300`);
  deliver(queue, 900);
  trimAll(queue);
  assert.equal(rangesIn(queue), "301-1000");
  assert.equal(queue.events.depth(), 100);
  assert.equal(queue.events.state().retainedBytes, 60_000, "those that are claimed");

  queue.events.setRetention({});
  trimAll(queue);
  assert.equal(rangesIn(queue), "901-1000");
  assert.equal(queue.events.state().retainedBytes, 0);
});

test("keeps the newest delivered events that fit into the retention's bytes", () => {
  using queue = testQueue();
  queue.events.setRetention({ maxBytes: 25_050 });
  put(queue, 5_000);
  deliver(queue, 5_000);
  trimAll(queue);
  assert.equal(rangesIn(queue), "4751-5000");
  put(queue, 100);
  trimAll(queue);
  assert.equal(rangesIn(queue), "4751-5100", "what waits does not count");
  deliver(queue, 5_100);
  trimAll(queue);
  assert.equal(rangesIn(queue), "4851-5100");
  assert.equal(queue.events.state().retainedBytes, 25_000);
});

test("keeps what is to be sent again until it was, whatever the retention says then", () => {
  using queue = testQueue();
  queue.events.setRetention({ maxAgeMs: DAY_MS });
  put(queue, 10);
  deliver(queue, 10);
  const subscriptions = new SubscriptionTable(queue.file);
  assert.deepEqual(subscriptions.replay("default", { firstId: 3, lastId: 99 }), { firstId: 3, lastId: 10 });
  queue.events.setRetention({});
  const lease = queue.leases.claimReplay(queue.leases.replayRange()!, 5)!;
  trimAll(queue);
  assert.equal(rangesIn(queue), "3-10");
  assert.equal(subscriptions.get("default").replayLeft, 8);

  assert.ok(queue.leases.ack(lease));
  trimAll(queue);
  assert.equal(rangesIn(queue), "6-10");
  assert.equal(queue.events.depth(), 0, "a replay is not in the depth");
  assert.equal(new LeaseTable(queue.file, 1).replayRange()?.firstId, 6, "another process goes on with it");
});
