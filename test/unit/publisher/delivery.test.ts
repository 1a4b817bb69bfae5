import assert from "node:assert/strict";
import { test } from "node:test";
import { StorageBreaker } from "../../../src/publisher/circuit_breaker.ts";
import { PublisherCounts } from "../../../src/publisher/counts.ts";
import { Settler } from "../../../src/publisher/delivery.ts";
import type { Outcome } from "../../../src/publisher/destinations/destination.ts";
import { Ballast } from "../../../src/storage/ballast.ts";
import { type Lease, LeaseTable } from "../../../src/storage/leases.ts";
import { SubscriptionTable } from "../../../src/storage/subscriptions.ts";
import { Checkpoints } from "../../../src/storage/wal.ts";
import { putEvents, testQueue } from "../../support/queue_file.ts";

const NEVER = new AbortController().signal;

/** A settler of a queue's file, with `count` events of which the first five are leased. */
function leased(count = 5) {
  const queue = testQueue();
  const { file, leases } = queue;
  const counts = new PublisherCounts();
  const ballast = new Ballast(file.path, 0);
  const storage = new StorageBreaker({ file, ballast, checkpoints: new Checkpoints(file), counts });
  new SubscriptionTable(file).add("audit", { limit: { maxEvents: 1_000 } });
  putEvents(queue.events, count);
  const lease = leases.claim(0, 5)!;
  return { ...queue, counts, lease, settler: new Settler({ leases, storage, counts }) };
}

function rangesOf(leases: LeaseTable): number[][] {
  return leases.all().map(({ firstId, lastId, sends }) => [firstId, lastId, sends]);
}

test("settles a lease as the settlement says, and counts", async () => {
  for (const [settlement, left, depth] of [
    [{ kind: "ack" }, [], 0],
    [{ kind: "release", wasReceived: true }, [[1, 5, 1]], 5],
    [{ kind: "release", wasReceived: false }, [[1, 5, 0]], 5],
    [
      { kind: "split" },
      [
        [1, 3, 0],
        [4, 5, 0],
      ],
      5,
    ],
    [{ kind: "each", dead: [{ id: 2, status: 422, response: "" }], kept: [4] }, [[4, 4, 1]], 1],
  ] as const) {
    using queue = leased();
    const { settler, lease, leases, counts } = queue;
    assert.equal(await settler.settle(lease, settlement, NEVER), true);
    assert.deepEqual([rangesOf(leases), queue.events.depth()], [left, depth], settlement.kind);
    const { splits, deadLettered, lostLeases } = counts;
    const expected = [Number(settlement.kind === "split"), Number(settlement.kind === "each"), 0];
    assert.deepEqual([splits, deadLettered, lostLeases], expected, settlement.kind);
  }
});

test("counts a lease that another publisher has claimed, and settles nothing", async () => {
  for (const settlement of [
    { kind: "ack" },
    { kind: "release", wasReceived: true },
    { kind: "split" },
    { kind: "each", dead: [{ id: 2, status: 422, response: "" }], kept: [] },
  ] as const) {
    using queue = leased();
    const { settler, lease, leases, counts } = queue;
    leases.release(lease);
    leases.claimExpired();
    assert.equal(await settler.settle(lease, settlement, NEVER), false);
    assert.deepEqual([counts.lostLeases, counts.splits, counts.deadLettered], [1, 0, 0], settlement.kind);
    assert.deepEqual([rangesOf(leases), queue.events.depth()], [[[1, 5, 2]], 5]);
  }
});

test("takes duplicates of a batch that was never sent before for other events: the file was rolled back", async () => {
  using queue = leased(6);
  const { settler, leases, lease } = queue;
  const uuid = leases.epochs.uuidAt(1);
  const identify = (lease: Lease, duplicates?: number) => {
    const outcome: Outcome =
      duplicates === undefined ? { kind: "accepted" } : { kind: "accepted", duplicates };
    const sent = { outcome, uuid, count: 5, acceptedCount: 5, sizeBytes: 1, durationMs: 1 };
    return settler.identify(lease, sent, NEVER);
  };
  assert.equal(await identify(lease), "same");
  assert.equal(await identify(lease, 0), "same");
  assert.equal(await identify({ ...lease, sends: 2 }, 3), "same", "it may have arrived before");
  assert.equal(leases.epochs.uuidAt(1), uuid);

  assert.equal(await identify(lease, 3), "rolled_back");
  assert.notEqual(leases.epochs.uuidAt(1), uuid);
  assert.equal(await identify(lease, 3), "renamed", "it was in flight under the same UUID");
  assert.equal(await identify({ ...lease, sends: 2 }, 3), "renamed");
});

test("takes no more duplicates for what another subscription has brought than that one has settled at the same destination", async () => {
  const COLLECTOR = "https://collector.example/v2";
  const outcome: Outcome = { kind: "accepted", duplicates: 5 };
  for (const [audit, settledCount, expected] of [
    [COLLECTOR, 5, "same"],
    [COLLECTOR, 4, "rolled_back"],
    [COLLECTOR, 0, "rolled_back"],
    ["https://other.example/v2", 5, "rolled_back"],
    [undefined, 5, "rolled_back"],
  ] as const) {
    using queue = leased();
    const { file, settler, lease, leases } = queue;
    const subscriptions = new SubscriptionTable(file);
    subscriptions.noteDestination("default", COLLECTOR);
    if (audit !== undefined) subscriptions.noteDestination("audit", audit);
    const others = new LeaseTable(file, 60_000, { subscription: "audit" });
    if (settledCount > 0) others.ack(others.claim(0, settledCount)!);
    if (settledCount < 5) others.claim(settledCount, 5);
    const uuid = leases.epochs.uuidAt(1);
    const sent = { outcome, uuid, count: 5, acceptedCount: 5, sizeBytes: 1, durationMs: 1 };
    const identity = await settler.identify(lease, sent, NEVER);
    assert.equal(identity, expected, `${audit} ${settledCount}`);
  }
});
