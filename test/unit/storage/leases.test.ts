import assert from "node:assert/strict";
import { test } from "node:test";
import { DeadLetterTable } from "../../../src/storage/dead_letters.ts";
import { type Lease, LeaseTable, PUT_TIMES } from "../../../src/storage/leases.ts";
import { SubscriptionTable } from "../../../src/storage/subscriptions.ts";
import { deadLetter } from "../../support/dead_letters.ts";
import fc from "../../support/fast_check.ts";
import { putEvents, type TestQueue, testQueue } from "../../support/queue_file.ts";

test("claims the events above the cursor as one range and never writes their rows", () => {
  using queue = testQueue();
  putEvents(queue.events, 10);
  const changesBefore = totalRows(queue);

  const lease = queue.leases.claim(0, 7);

  assert.deepEqual(lease, { id: 1, firstId: 1, lastId: 7, attempts: 1, sends: 1 });
  assert.equal(queue.leases.claimedId(), 7);
  assert.deepEqual([...queue.leases.sizesAfter(7)], [2, 2, 3]);
  assert.equal(queue.events.state().leased, 7);
  assert.equal(totalRows(queue), changesBefore);
});

test("lets only one of two publishers that saw the same cursor claim", () => {
  using queue = testQueue();
  putEvents(queue.events, 10);
  const other = new LeaseTable(queue.file, 60_000);

  assert.ok(queue.leases.claim(0, 10));
  assert.equal(other.claim(0, 5), undefined);
  assert.equal(other.claimExpired(), undefined, "a lease that holds cannot be claimed");
});

test("joins a lease's events with commas, byte for byte", () => {
  using queue = testQueue();
  const bodies = [Buffer.from([0xff, 0xfe]), Buffer.from("a\0b"), Buffer.from('{"é":1}'), Buffer.from(",")];
  queue.events.putMany(bodies);
  const lease = claim(queue.leases, 0, 4);

  const { count, joined } = queue.leases.read(lease);

  assert.equal(count, 4);
  assert.deepEqual(
    Buffer.from(joined),
    Buffer.concat(bodies.flatMap((body) => [body, Buffer.from(",")]).slice(0, -1)),
  );
});

test("acks a lease, and leaves its events in the file", () => {
  using queue = testQueue();
  putEvents(queue.events, 1_003);
  const lease = claim(queue.leases, 0, 1_001);

  assert.equal(queue.leases.ack(lease), true);

  assert.equal(queue.events.depth(), 2);
  assert.equal(queue.leases.state().leaseCount, 0);
  assert.equal(totalRows(queue), 1_003);
  assert.equal(queue.leases.ack(lease), false, "once");
});

test("never gives an id twice, even when the newest event was removed", () => {
  using queue = testQueue();
  putEvents(queue.events, 3);
  queue.leases.ack(claim(queue.leases, 0, 3));
  putEvents(queue.events, 1);

  const lease = claim(queue.leases, 3, 4);

  assert.deepEqual(queue.leases.read(lease).count, 1);
  assert.equal(lease.firstId, 4);
});

test("hands a released lease to the next claim, with one more attempt", () => {
  using queue = testQueue();
  putEvents(queue.events, 5);
  const lease = claim(queue.leases, 0, 5);

  assert.equal(queue.leases.release(lease), true);

  assert.deepEqual(queue.leases.claimExpired(), { ...lease, attempts: 2, sends: 2 });
  assert.equal(queue.leases.claimExpired(), undefined);
});

test("counts an attempt that never reached the destination as a claim, and not as a send", () => {
  using queue = testQueue();
  putEvents(queue.events, 4);
  queue.leases.release(claim(queue.leases, 0, 4), false);
  const again = queue.leases.claimExpired()!;
  assert.deepEqual([again.attempts, again.sends], [2, 1]);

  queue.leases.split(again, 2, false);
  const half = queue.leases.claimExpired()!;
  assert.deepEqual([half.attempts, half.sends], [3, 1]);
  queue.leases.release(half);
  const other = queue.leases.claimExpired({ except: new Set([half.id]) })!;
  queue.leases.settle(other, { dead: [], kept: [4] });
  const sends = [queue.leases.claimExpired(), queue.leases.claimExpired()].map((lease) => lease!.sends);
  assert.deepEqual(sends, [2, 2]);
});

test("hands out released leases oldest events first", () => {
  using queue = testQueue();
  putEvents(queue.events, 4);
  const first = claim(queue.leases, 0, 2);
  const second = claim(queue.leases, 2, 4);
  queue.leases.release(second);
  queue.leases.release(first);

  assert.equal(queue.leases.claimExpired()?.firstId, 1);
  assert.equal(queue.leases.claimExpired()?.firstId, 3);
});

test("leaves alone the expired leases in `except`", () => {
  using queue = testQueue({ leaseMs: -1 });
  putEvents(queue.events, 4);
  const first = claim(queue.leases, 0, 2);
  const second = claim(queue.leases, 2, 4);

  assert.equal(queue.leases.claimExpired({ except: new Set([first.id]) })?.id, second.id);
  assert.equal(queue.leases.claimExpired({ except: new Set([first.id, second.id]) }), undefined);
});

test("claims nothing past a lease that is held, when only the oldest events will do", () => {
  using queue = testQueue();
  putEvents(queue.events, 4);
  const first = claim(queue.leases, 0, 2);
  queue.leases.release(claim(queue.leases, 2, 4));

  assert.equal(queue.leases.claimExpired({ oldestOnly: true }), undefined);
  queue.leases.release(first);
  assert.equal(queue.leases.claimExpired({ oldestOnly: true })?.firstId, 1);
});

test("reads each trace of a lease once, and no more than asked for", () => {
  using queue = testQueue();
  putEvents(queue.events, 1);
  for (const trace of ["a", "a", "b", "c"]) queue.events.put(Buffer.from("e"), trace);
  const lease = claim(queue.leases, 0, 5);
  assert.deepEqual(queue.leases.traces(lease, 10).toSorted(), ["a", "b", "c"]);
  assert.equal(queue.leases.traces(lease, 2).length, 2);
});

test("claims the lease with the fewest attempts, when none may keep the others waiting", () => {
  using queue = testQueue();
  putEvents(queue.events, 4);
  for (const [after, lastId] of [
    [0, 2],
    [2, 4],
  ] as const)
    queue.leases.release(claim(queue.leases, after, lastId));
  queue.leases.release(queue.leases.claimExpired()!);
  assert.equal(queue.leases.claimExpired({ fairly: true })?.firstId, 3);
  assert.equal(queue.leases.claimExpired({ fairly: true })?.firstId, 1);
});

test("claims what comes next within limits: what was released, then new events, then a replay", () => {
  using queue = testQueue();
  putEvents(queue.events, 9); // of two bytes each
  const next = (maxEvents: number, maxBytes: number): number[] | undefined => {
    const lease = queue.leases.claimNext({ maxEvents, maxBytes });
    return lease && [lease.firstId, lease.lastId];
  };
  queue.leases.release(claim(queue.leases, 0, 3));
  assert.deepEqual(next(2, 1_000), [1, 2], "the rest is a lease of its own");
  assert.deepEqual(next(9, 1_000), [3, 3]);
  assert.deepEqual(next(9, 4), [4, 5]);
  assert.deepEqual(next(9, 1), [6, 6], "one event of any size");
  assert.deepEqual(next(2, 1_000), [7, 8]);
  assert.deepEqual(next(9, 1_000), [9, 9]);
  assert.equal(next(9, 1_000), undefined);

  for (const lease of queue.leases.all()) queue.leases.ack(lease);
  new SubscriptionTable(queue.file).replay("default", { firstId: 2, lastId: 4 });
  assert.deepEqual([next(2, 1_000), next(2, 1_000), next(2, 1_000)], [[2, 3], [4, 4], undefined]);
});

test("takes over the lease of a publisher that died once it has expired", () => {
  using queue = testQueue({ leaseMs: -1 });
  putEvents(queue.events, 2);
  const lost = claim(queue.leases, 0, 2);

  const taken = new LeaseTable(queue.file, 60_000).claimExpired();

  assert.deepEqual(taken, { ...lost, attempts: 2, sends: 2 });
});

test("claims no expired lease when the claim cannot be committed, as on a full disk", () => {
  using queue = testQueue();
  putEvents(queue.events, 2);
  queue.leases.release(claim(queue.leases, 0, 2));
  queue.file.db.exec(`
    PRAGMA foreign_keys = ON;
    CREATE TEMP TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TEMP TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
    CREATE TEMP TRIGGER broken AFTER UPDATE ON eventspool_lease BEGIN INSERT INTO child VALUES (1); END`);
  assert.throws(() => queue.leases.claimExpired(), /FOREIGN KEY/);

  queue.file.db.exec("DROP TRIGGER broken");
  assert.equal(queue.leases.claimExpired()?.attempts, 2);
});

test("rejects every settlement by a publisher whose lease was taken over", () => {
  using queue = testQueue({ leaseMs: -1 });
  putEvents(queue.events, 4);
  const lost = claim(queue.leases, 0, 4);
  new LeaseTable(queue.file, 60_000).claimExpired();

  assert.equal(queue.leases.ack(lost), false);
  assert.equal(queue.leases.release(lost), false);
  assert.equal(queue.leases.split(lost, 2), false);
  assert.equal(deadLetter(queue.leases, lost, { status: 400, response: "" }), undefined);
  assert.equal(queue.events.depth(), 4);
  assert.equal(queue.events.state().deadLetters, 0);
});

test("counts a first send for each subscription, but not again after a seek, nor for a new one with an old name", () => {
  using queue = testQueue();
  const subscriptions = new SubscriptionTable(queue.file);
  subscriptions.add("audit");
  putEvents(queue.events, 10);
  const audit = () => new LeaseTable(queue.file, 60_000, { subscription: "audit" });
  assert.equal(claim(queue.leases, 0, 10).sends, 1);
  assert.equal(claim(audit(), 0, 10).sends, 1);

  subscriptions.seek("audit", "oldest");
  assert.equal(claim(audit(), 0, 10).sends, 2);
  subscriptions.remove("audit");
  subscriptions.add("audit", { start: "oldest" });
  assert.equal(claim(audit(), 0, 10).sends, 2);

  putEvents(queue.events, 1);
  assert.equal(claim(audit(), 10, 11).sends, 1);
});

test("takes over a lease that lies in the future, since then the clock was set back", () => {
  using queue = testQueue();
  putEvents(queue.events, 2);
  claim(queue.leases, 0, 2);
  queue.file.db.exec(
    "UPDATE eventspool_lease SET claimed_at_ms = claimed_at_ms + 3600000, expires_at_ms = expires_at_ms + 3600000",
  );

  assert.equal(queue.leases.claimExpired()?.attempts, 2);
});

test("gives events back at once, though the clock is set right after it was an hour ahead", () => {
  using queue = testQueue();
  putEvents(queue.events, 10);
  const released = claim(queue.leases, 0, 3);
  const split = claim(queue.leases, 3, 6);
  const settled = claim(queue.leases, 6, 10);

  const { now } = Date;
  try {
    Date.now = () => now() + 3_600_000;
    assert.equal(queue.leases.release(released), true);
    assert.equal(queue.leases.split(split, 4), true);
    assert.equal(queue.leases.settle(settled, { dead: [], kept: [7, 9] }), 0);
  } finally {
    Date.now = now;
  }

  const claimed = Array.from({ length: 5 }, () => queue.leases.claimExpired()?.firstId);
  assert.deepEqual(claimed, [1, 4, 5, 7, 9]);
});

test("splits a lease into two that anyone may claim, oldest first", () => {
  using queue = testQueue();
  putEvents(queue.events, 10);
  const lease = claim(queue.leases, 0, 10);

  assert.equal(queue.leases.split(lease, 4), true);

  const first = queue.leases.claimExpired();
  const second = queue.leases.claimExpired();
  assert.deepEqual([first?.firstId, first?.lastId, first?.attempts], [1, 4, 2]);
  assert.deepEqual([second?.firstId, second?.lastId, second?.attempts], [5, 10, 2]);
});

test("keeps a dead letter with the rejection, out of the queue's depth", () => {
  using queue = testQueue();
  putEvents(queue.events, 1);

  assert.equal(deadLetter(queue.leases, claim(queue.leases, 0, 1), { status: 422, response: "no noun" }), 0);

  const { depth, deadLetters } = queue.events.state();
  assert.deepEqual({ depth, deadLetters }, { depth: 0, deadLetters: 1 });
  const row = queue.file.db
    .prepare("SELECT id, CAST(body AS TEXT) AS body, attempts, status, response FROM eventspool_dead_letter")
    .get() as object;
  assert.deepEqual({ ...row }, { id: 1, body: "e1", attempts: 1, status: 422, response: "no noun" });
});

test("keeps the depth right though rows were deleted by hand", () => {
  using queue = testQueue();
  putEvents(queue.events, 10);
  queue.file.db.exec("DELETE FROM eventspool_event WHERE id IN (3, 10)");
  const lease = claim(queue.leases, 0, 10);

  assert.equal(queue.leases.read(lease).count, 8);
  queue.leases.ack(lease);

  assert.equal(queue.events.depth(), 0);
  assert.ok(queue.events.put(Buffer.from("x")));
  assert.equal(queue.events.depth(), 1);
});

test("never gives an id that a lease holds, though its newest rows were deleted by hand", () => {
  using queue = testQueue();
  putEvents(queue.events, 5);
  const lease = claim(queue.leases, 0, 5);
  queue.file.db.exec("DELETE FROM eventspool_event WHERE id > 3");

  assert.ok(queue.events.put(Buffer.from("new")));
  assert.equal(queue.leases.ack(lease), true);

  assert.equal(queue.events.depth(), 1);
});

function claim(leases: LeaseTable, claimedId: number, lastId: number): Lease {
  const lease = leases.claim(claimedId, lastId);
  assert.ok(lease);
  return lease;
}

function totalRows(queue: TestQueue): number {
  return queue.file.db.prepareFirst("SELECT count(*) FROM eventspool_event").get() as number;
}

test("claims around each event that is another subscription's alone", () => {
  using queue = testQueue();
  new SubscriptionTable(queue.file).add("audit");
  putEvents(queue.events, 3);
  assert.equal(deadLetter(queue.leases, claim(queue.leases, 0, 3), { status: 422, response: "no" }), 0);
  const letters = new DeadLetterTable(queue.file);
  for (const id of [1, 2, 3]) {
    letters.retry([id], queue.events); // 4, 6 and 8 are the default one's alone
    putEvents(queue.events, 1);
  }
  const audit = new LeaseTable(queue.file, 60_000, { subscription: "audit" });
  const claimed: number[][] = [];
  for (let id = audit.claimedId(); id < 9; id = audit.claimedId()) {
    const lease = audit.claim(id, 9);
    if (lease !== undefined) claimed.push([lease.firstId, lease.lastId]);
  }
  assert.deepEqual(claimed, [
    [1, 3],
    [5, 5],
    [7, 7],
    [9, 9],
  ]);
});

test("ends a replay of which all events are in leases: they are sent anyway", () => {
  using queue = testQueue();
  const subscriptions = new SubscriptionTable(queue.file);
  putEvents(queue.events, 5);
  assert.ok(queue.leases.ack(claim(queue.leases, 0, 5)));
  subscriptions.replay("default", { firstId: 1, lastId: 5 });
  subscriptions.seek("default", 1);
  claim(queue.leases, 0, 5);
  assert.equal(queue.leases.replayRange(), undefined);
  assert.equal(subscriptions.get("default").replayLeft, 0);
});

const REFUSAL = { status: 422, response: "no noun" };

function idsIn({ events }: TestQueue): number[] {
  return events.readWaiting({ fromId: 1, limit: 1_000 }).map(({ id }) => id);
}

function deadIdsIn({ file }: TestQueue): number[] {
  return new DeadLetterTable(file).list({ limit: 1_000 }).map(({ id }) => id);
}

test("ends a lease event by event: delivered, dead, or given back", () => {
  using queue = testQueue();
  putEvents(queue.events, 10);
  const lease = queue.leases.claim(0, 8)!;

  const dead = [{ id: 3, ...REFUSAL }];
  assert.equal(queue.leases.settle(lease, { dead, kept: [4, 5, 8] }), 0);

  assert.deepEqual(idsIn(queue), [4, 5, 8, 9, 10]);
  assert.deepEqual(deadIdsIn(queue), [3]);
  assert.deepEqual(
    queue.leases.all().map(({ firstId, lastId, attempts }) => [firstId, lastId, attempts]),
    [
      [4, 5, 1],
      [8, 8, 1],
    ],
  );
  assert.equal(queue.events.depth(), 5);
  assert.deepEqual(queue.leases.claimExpired()?.firstId, 4, "at once");
  assert.equal(queue.leases.settle(lease, { dead: [], kept: [] }), undefined, "it is not ours any more");
});

test("counts each event, whether it is delivered, dead or kept", () => {
  const fates = fc.array(fc.constantFrom("delivered", "dead", "kept"), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(fates, (fates) => {
      using queue = testQueue();
      putEvents(queue.events, fates.length + 1);
      const lease = queue.leases.claim(0, fates.length)!;
      const idsOf = (fate: string) => fates.flatMap((each, index) => (each === fate ? [index + 1] : []));

      const dead = idsOf("dead").map((id) => ({ id, ...REFUSAL }));
      queue.leases.settle(lease, { dead, kept: idsOf("kept") });

      assert.deepEqual(idsIn(queue), [...idsOf("kept"), fates.length + 1]);
      assert.deepEqual(deadIdsIn(queue), idsOf("dead"));
      assert.equal(queue.events.depth(), idsOf("kept").length + 1);
      const leased = queue.leases.all().reduce((sum, { firstId, lastId }) => sum + lastId - firstId + 1, 0);
      assert.equal(leased, idsOf("kept").length);
    }),
    { numRuns: 50 },
  );
});

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
