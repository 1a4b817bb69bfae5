import assert from "node:assert/strict";
import { test } from "node:test";
import { BatchSize } from "../../../src/publisher/batcher.ts";
import { PublisherCounts } from "../../../src/publisher/counts.ts";
import type { Identity } from "../../../src/publisher/delivery_policy.ts";
import { DeliveryPolicy } from "../../../src/publisher/delivery_policy.ts";
import type { Outcome } from "../../../src/publisher/destinations/destination.ts";
import { DEAD_LETTER_BURST, PoisonGuard } from "../../../src/publisher/poison_guard.ts";
import type { Sent } from "../../../src/publisher/sender.ts";
import type { Lease } from "../../../src/storage/leases.ts";

const LEASE: Lease = { id: 1, firstId: 5, lastId: 8, attempts: 1, sends: 1 };
const ONE: Lease = { ...LEASE, lastId: 5 };
const REJECTION = { status: 422, response: "no noun" };
const REJECTED: Outcome = { kind: "rejected", ...REJECTION };
const UNAVAILABLE: Outcome = { kind: "unavailable", reason: "busy" };

/** A policy without backoff, so that no test waits for it. */
function newPolicy({ spentCount = 0 } = {}) {
  const counts = new PublisherCounts();
  const batchSize = new BatchSize(500_000);
  const poisonGuard = new PoisonGuard(0.1, spentCount);
  const policy = new DeliveryPolicy({ batchSize, poisonGuard, maxConcurrency: 8, maxBackoffMs: 0, counts });
  const decide = (
    outcome: Outcome,
    {
      lease = LEASE,
      identity = "same" as Identity,
      inFlight = 1,
      ...sent
    }: Partial<Sent> & { lease?: Lease; identity?: Identity; inFlight?: number } = {},
  ) => {
    const count = lease.lastId - lease.firstId + 1;
    const all = {
      outcome,
      uuid: "",
      count,
      acceptedCount: count,
      sizeBytes: 400_000,
      durationMs: 1,
      ...sent,
    };
    return policy.decide(lease, all, { identity, inFlight });
  };
  const problem = () => policy.stats().lastProblem?.kind;
  return { policy, decide, problem, counts, batchSize };
}

test("an accepted batch is acknowledged, counted, and ends a run of failures", () => {
  const { policy, decide } = newPolicy();
  decide(UNAVAILABLE);
  assert.equal(policy.stats().consecutiveFailures, 1);
  assert.deepEqual(decide({ kind: "accepted" }, { acceptedCount: 3 }), { kind: "ack" });
  const { delivered, consecutiveFailures, failingForMs, lastSuccessAtMs } = policy.stats();
  assert.deepEqual([delivered, consecutiveFailures, failingForMs], [3, 0, 0]);
  assert.ok(lastSuccessAtMs);
});

test("a batch of which nothing was sent is acknowledged, and says nothing of the destination", () => {
  const { policy, decide } = newPolicy();
  decide(UNAVAILABLE);
  assert.deepEqual(decide({ kind: "accepted", dropped: 4 }, { acceptedCount: 0 }), { kind: "ack" });
  const { delivered, consecutiveFailures, lastSuccessAtMs } = policy.stats();
  assert.deepEqual([delivered, consecutiveFailures, lastSuccessAtMs], [0, 1, undefined]);
});

test("a failure gives the lease back, and knows whether the events may have arrived", () => {
  for (const [outcome, wasReceived] of [
    [UNAVAILABLE, true],
    [{ ...UNAVAILABLE, isUnsent: true }, false],
    [{ kind: "misconfigured", reason: "wrong key" }, false],
    [{ kind: "misconfigured", reason: "no response may come", isTransport: true }, true],
    [{ kind: "misconfigured", reason: "no login", isTransport: true, isUnsent: true }, false],
  ] as const) {
    const { policy, decide, problem } = newPolicy();
    assert.deepEqual(decide(outcome), { kind: "release", wasReceived });
    assert.deepEqual([policy.stats().consecutiveFailures, policy.concurrency.count], [1, 1]);
    assert.deepEqual([problem(), policy.stats().lastProblem?.message], [outcome.kind, outcome.reason]);
    assert.equal(policy.breaker.openForMs(), 0, "there is no backoff here");
  }
});

test("a destination that says how long it wants to be left alone is", () => {
  const { policy, decide } = newPolicy();
  decide({ kind: "unavailable", reason: "busy", retryAfterMs: 3_600_000 });
  assert.ok(policy.breaker.openForMs() > 0);
  decide({ kind: "accepted" }, { inFlight: 8 });
  const { delivered, consecutiveFailures } = policy.stats();
  assert.deepEqual(
    [delivered, consecutiveFailures, policy.concurrency.count],
    [4, 1, 1],
    "it was in flight before",
  );
});

test("more batches are sent at once while all that may be are in flight", () => {
  const { policy, decide } = newPolicy();
  decide({ kind: "accepted" }, { inFlight: 3 });
  assert.equal(policy.concurrency.count, 4);
  decide({ kind: "accepted" }, { inFlight: 4 });
  decide({ kind: "partial", rejected: [], undelivered: [] }, { inFlight: 5 });
  assert.equal(policy.concurrency.count, 6);
  decide({ kind: "accepted" }, { inFlight: 6, count: 0 });
  assert.equal(policy.concurrency.count, 6, "an empty batch was not sent");
});

test("a rejected batch is split, down to the event at fault, which becomes a dead letter", () => {
  const { policy, decide, problem } = newPolicy();
  decide(UNAVAILABLE);
  assert.deepEqual(decide(REJECTED), { kind: "split" });
  assert.equal(policy.stats().consecutiveFailures, 0, "the destination works");
  const dead = [{ id: 5, ...REJECTION }];
  assert.deepEqual(decide(REJECTED, { lease: ONE }), { kind: "each", dead, kept: [] });
  assert.deepEqual([problem(), policy.isHeld], ["rejected", false]);
});

test("the queue is held once too many events were rejected, until others are accepted", () => {
  const { policy, decide, problem } = newPolicy({ spentCount: DEAD_LETTER_BURST - 1 });
  assert.equal(decide(REJECTED, { lease: ONE }).kind, "each");
  assert.equal(policy.isHeld, true);
  assert.deepEqual(decide(REJECTED, { lease: ONE }), { kind: "release", wasReceived: false });
  assert.deepEqual([problem(), policy.stats().consecutiveFailures], ["held", 1]);
  assert.deepEqual(decide(REJECTED), { kind: "split" }, "others are tried");
  assert.equal(policy.stats().consecutiveFailures, 2);
  decide({ kind: "accepted" }, { acceptedCount: 9 });
  assert.deepEqual([policy.isHeld, decide(REJECTED, { lease: ONE }).kind], [false, "each"]);
});

test("batches become smaller after a 413 for several events", () => {
  const { decide, batchSize } = newPolicy();
  decide({ kind: "rejected", status: 413, response: "" }, { lease: ONE });
  decide(REJECTED);
  assert.equal(batchSize.bytes(), 500_000);
  decide({ kind: "rejected", status: 413, response: "" });
  assert.ok(batchSize.bytes() < 400_000);
});

test("a partly accepted batch is settled event by event", () => {
  const { policy, decide, problem } = newPolicy({ spentCount: DEAD_LETTER_BURST - 1 });
  const [first, second] = [7, 6].map((id) => ({ id, ...REJECTION }));
  const failure: Outcome = { kind: "misconfigured", reason: "wrong key" };

  assert.deepEqual(
    decide({ kind: "partial", rejected: [], undelivered: [5], failure }, { acceptedCount: 0 }),
    {
      kind: "each",
      dead: [],
      kept: [5],
    },
  );
  assert.deepEqual([problem(), policy.stats().lastSuccessAtMs], ["misconfigured", undefined]);
  assert.equal(policy.stats().consecutiveFailures, 1);

  decide({ kind: "partial", rejected: [], undelivered: [5] }, { acceptedCount: 0 });
  assert.equal(policy.stats().consecutiveFailures, 0, "the destination works");

  const settlement = decide(
    { kind: "partial", rejected: [first!, second!], undelivered: [8] },
    { acceptedCount: 1 },
  );
  assert.deepEqual(settlement, { kind: "each", dead: [first], kept: [6, 8] }, "one may be dead yet");
  assert.deepEqual([problem(), policy.stats().consecutiveFailures], ["held", 1]);
  assert.equal(policy.stats().delivered, 1);
});

test("events are sent again when the destination has others under their names", () => {
  for (const [identity, rollbacks, kind] of [
    ["rolled_back", 1, "rolled_back"],
    ["renamed", 0, undefined],
  ] as const) {
    const { policy, decide, problem, counts } = newPolicy();
    const settlement = decide({ kind: "accepted", duplicates: 3 }, { identity });
    assert.deepEqual(settlement, { kind: "release", wasReceived: true });
    assert.deepEqual([counts.duplicates, counts.rollbacks, problem()], [3, rollbacks, kind]);
    assert.equal(policy.stats().delivered, 0);
  }
  const { decide, counts } = newPolicy();
  assert.deepEqual(decide({ kind: "accepted", duplicates: 3 }), { kind: "ack" });
  assert.deepEqual([counts.duplicates, counts.rollbacks], [3, 0]);
});

test("every request counts as failed that was not accepted", () => {
  const { policy, counts } = newPolicy();
  const batch = { count: 1, sizeBytes: 1, durationMs: 1 };
  for (const kind of ["accepted", "accepted", "partial", "rejected", "unavailable", "misconfigured"] as const)
    counts.requested(kind, batch);
  assert.equal(policy.stats().failedRequests, 4);
});
