import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Health,
  type HealthReport,
  healthOf,
  ownStatus,
  type PublisherProblem,
  type PublisherStatus,
} from "../../../src/publisher/health.ts";
import type { QueueState } from "../../../src/storage/events.ts";
import type { SubscriptionState } from "../../../src/storage/subscriptions.ts";

function problem(kind: PublisherProblem["kind"]): PublisherProblem {
  return { atMs: 0, kind, message: "" };
}

interface Case {
  readonly depth?: number;
  readonly deadLetters?: number;
  readonly droppedDeadLetters?: number;
  readonly consecutiveFailures?: number;
  readonly failingForMs?: number;
  readonly consecutiveStorageFailures?: number;
  readonly lastProblem?: PublisherProblem;
  readonly destinationRisks?: readonly string[];
  /** What else is in the status, and in its state of the queue. */
  readonly status?: Partial<PublisherStatus>;
  readonly state?: Partial<QueueState>;
}

/** A subscription called `name`. */
function subscription(name: string, state: Partial<SubscriptionState>): SubscriptionState {
  return { name, depth: 0, deadLetters: 0, droppedDeadLetters: 0, ...state } as SubscriptionState;
}

function report(given: Case): HealthReport {
  const {
    depth = 0,
    deadLetters = 0,
    droppedDeadLetters = 0,
    consecutiveFailures = 0,
    failingForMs = 0,
    consecutiveStorageFailures = 0,
    lastProblem,
    destinationRisks = [],
  } = given;
  const state: QueueState = {
    newestId: depth,
    depth,
    maxEvents: 10,
    leased: 0,
    deadLetters,
    deadLetterBytes: 0,
    droppedDeadLetters,
    rejectedPuts: { full: 0, too_large: 0, invalid: 0, storage: 0 },
    oldestPutAtMs: undefined,
    rolledBackAtMs: undefined,
    retention: {},
    retainedBytes: 0,
    subscriptions: [],
    ...given.state,
  };
  const status: PublisherStatus = {
    queue: "main",
    subscription: "default",
    isRunning: true,
    state,
    inFlight: 0,
    delivered: 0,
    retries: 0,
    failedRequests: 0,
    consecutiveFailures,
    failingForMs,
    consecutiveStorageFailures,
    lastSuccessAtMs: undefined,
    lastProblem,
    destinationRisks,
    ...given.status,
  };
  return healthOf(status);
}

function health(given: Case): Health {
  return report(given).health;
}

test("is ok while nothing fails and the queue has room", () => {
  assert.equal(health({}), "ok");
  assert.equal(health({ depth: 7 }), "ok");
});

test("fails while the queue is held", () => {
  const held = { depth: 3, consecutiveFailures: 1, lastProblem: problem("held") } as const;
  assert.equal(health(held), "failing");
  assert.match(
    report(held).reasons.join(),
    /rejects too many events.*collector\.version.*dead_letters\.max_share/,
  );
});

test("is degraded once dead letters were dropped", () => {
  assert.equal(health({ droppedDeadLetters: 1 }), "degraded");
});

test("is ok again once a problem is over", () => {
  for (const kind of ["unavailable", "misconfigured", "rejected", "held", "storage"] as const)
    assert.equal(health({ lastProblem: problem(kind) }), "ok", kind);
});

test("is degraded when the queue is 80 % full", () => {
  assert.equal(health({ depth: 8 }), "degraded");
  assert.equal(health({ depth: 9 }), "degraded");
});

test("fails when the queue is full", () => {
  assert.equal(health({ depth: 10 }), "failing");
  assert.equal(health({ depth: 11 }), "failing", "the cap was lowered");
});

test("is degraded while the destination is unavailable, and fails after a minute", () => {
  const away = { depth: 1, lastProblem: problem("unavailable") };
  assert.equal(health({ ...away, consecutiveFailures: 1, failingForMs: 0 }), "degraded");
  assert.equal(health({ ...away, consecutiveFailures: 9, failingForMs: 59_999 }), "degraded");
  assert.equal(health({ ...away, consecutiveFailures: 9, failingForMs: 60_000 }), "failing");
});

test("fails at once when the destination rejects our requests", () => {
  assert.equal(
    health({ depth: 1, consecutiveFailures: 1, lastProblem: problem("misconfigured") }),
    "failing",
  );
});

test("is ok while the destination is unavailable and no event waits", () => {
  const lastProblem = problem("misconfigured");
  assert.equal(health({ depth: 0, consecutiveFailures: 9, failingForMs: 60_000, lastProblem }), "ok");
});

test("fails at once when the queue file fails, with or without events", () => {
  assert.equal(health({ consecutiveStorageFailures: 1 }), "failing");
  assert.equal(health({ depth: 1, consecutiveStorageFailures: 1 }), "failing");
});

test("is only degraded after a rejected event", () => {
  assert.equal(health({ depth: 1, consecutiveFailures: 1, lastProblem: problem("rejected") }), "degraded");
});

test("is degraded while there are dead letters", () => {
  assert.equal(health({ deadLetters: 1 }), "degraded");
});

test("uses the singular for one event", () => {
  const { reasons } = report({ deadLetters: 1, droppedDeadLetters: 1 });
  assert.deepEqual(reasons, [
    "the destination rejected 1 event: see the dead letters",
    "dropped 1 dead letter to make room for newer ones",
  ]);
});

test("is degraded while the destination's settings put events at risk", () => {
  const { health, reasons } = report({ destinationRisks: ["storage=memory: lost", "no_ack=true: again"] });
  assert.equal(health, "degraded");
  assert.deepEqual(reasons, [
    "the destination puts events at risk: storage=memory: lost",
    "the destination puts events at risk: no_ack=true: again",
  ]);
});

test("lists every reason, and none when it is ok", () => {
  assert.deepEqual(report({ depth: 7 }).reasons, []);
  const { health, reasons } = report({
    depth: 10,
    deadLetters: 3,
    consecutiveFailures: 1,
    consecutiveStorageFailures: 1,
  });
  assert.equal(health, "failing");
  assert.deepEqual(reasons, [
    "the queue is full (10 of at most 10 events): puts are rejected",
    "the destination rejected 3 events: see the dead letters",
    "the queue file fails: see last_error",
    "the destination is unavailable",
  ]);
});

const DAY_MS = 86_400_000;

test("is degraded for a day after events were skipped, or the file was rolled back", () => {
  const skippedAt = (skippedAtMs: number) =>
    report({ state: { subscriptions: [subscription("default", { skipped: 2, skippedAtMs })] } });
  assert.match(skippedAt(Date.now() - 1_000).reasons.join(), /skipped 2 events/);
  assert.equal(skippedAt(Date.now() - DAY_MS).health, "ok");

  const rolledBackAt = (rolledBackAtMs: number) => report({ state: { rolledBackAtMs } });
  assert.match(rolledBackAt(Date.now() - 1_000).reasons.join(), /was rolled back/);
  assert.equal(rolledBackAt(Date.now() - DAY_MS).health, "ok");
});

test("is degraded while the queue is paused, or a new configuration cannot be used", () => {
  assert.match(report({ status: { pausedAtMs: 1 } }).reasons.join(), /is paused/);
  assert.match(report({ status: { reloadProblem: "no" } }).reasons.join(), /new configuration/);
});

test("counts the dead letters of the publisher's own subscription", () => {
  const subscriptions = [subscription("default", {}), subscription("audit", { deadLetters: 1 })];
  const reportOf = (name: string) =>
    report({ deadLetters: 1, state: { subscriptions }, status: { subscription: name } });
  assert.deepEqual([reportOf("default").health, reportOf("audit").health], ["ok", "degraded"]);
  assert.equal(reportOf("removed").health, "degraded", "all of the queue");
});

test("shows the depth, leases, ages and dead letters of the publisher's own subscription alone", () => {
  const own = {
    depth: 1,
    leased: 2,
    oldestPutAtMs: 3,
    deadLetters: 4,
    deadLetterBytes: 5,
    droppedDeadLetters: 6,
  };
  const state = {
    newestId: 9,
    depth: 9,
    subscriptions: [subscription("audit", own)],
  } as unknown as QueueState;
  const status = { subscription: "audit", state } as PublisherStatus;
  assert.deepEqual(ownStatus(status).state, { ...state, ...own });
  const removed = { ...status, subscription: "removed" };
  assert.equal(ownStatus(removed), removed);
});
