import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Health,
  type HealthReport,
  healthOf,
  type PublisherProblem,
  type PublisherStatus,
} from "../../../src/publisher/health.ts";
import type { QueueState } from "../../../src/storage/events.ts";

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
    head: depth,
    depth,
    maxEvents: 10,
    leased: 0,
    deadLetters,
    deadLetterBytes: 0,
    droppedDeadLetters,
    rejectedPuts: { full: 0, too_large: 0, invalid: 0, storage: 0 },
    oldestPutAtMs: undefined,
    rolledBackAtMs: undefined,
  };
  const status: PublisherStatus = {
    queue: "main",
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

test("fails while too many events are rejected for each to be at fault", () => {
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

test("is ok again after a problem that passed", () => {
  for (const kind of ["unavailable", "misconfigured", "rejected", "held", "storage"] as const)
    assert.equal(health({ lastProblem: problem(kind) }), "ok", kind);
});

test("is degraded from the time that four fifths of the queue are full", () => {
  assert.equal(health({ depth: 8 }), "degraded");
  assert.equal(health({ depth: 9 }), "degraded");
});

test("fails when the queue is full, since then puts are rejected", () => {
  assert.equal(health({ depth: 10 }), "failing");
  assert.equal(health({ depth: 11 }), "failing", "the cap was lowered");
});

test("is degraded while events wait for a collector that is away for less than a minute, and fails then", () => {
  const away = { depth: 1, lastProblem: problem("unavailable") };
  assert.equal(health({ ...away, consecutiveFailures: 1, failingForMs: 0 }), "degraded");
  assert.equal(health({ ...away, consecutiveFailures: 9, failingForMs: 59_999 }), "degraded");
  assert.equal(health({ ...away, consecutiveFailures: 9, failingForMs: 60_000 }), "failing");
});

test("fails at once over a configuration that the collector does not take", () => {
  assert.equal(
    health({ depth: 1, consecutiveFailures: 1, lastProblem: problem("misconfigured") }),
    "failing",
  );
});

test("does not mind a collector that is away while no event waits", () => {
  const lastProblem = problem("misconfigured");
  assert.equal(health({ depth: 0, consecutiveFailures: 9, failingForMs: 60_000, lastProblem }), "ok");
});

test("fails at once over a queue file that fails, with or without an event", () => {
  assert.equal(health({ consecutiveStorageFailures: 1 }), "failing");
  assert.equal(health({ depth: 1, consecutiveStorageFailures: 1 }), "failing");
});

test("does not hold an event that was rejected against the collector", () => {
  assert.equal(health({ depth: 1, consecutiveFailures: 1, lastProblem: problem("rejected") }), "degraded");
});

test("is degraded while there are dead letters, which someone must look at", () => {
  assert.equal(health({ deadLetters: 1 }), "degraded");
});

test("speaks of one event in the singular", () => {
  const { reasons } = report({ deadLetters: 1, droppedDeadLetters: 1 });
  assert.deepEqual(reasons, [
    "the collector rejected 1 event: see the dead letters",
    "dropped 1 dead letter to make room for newer ones",
  ]);
});

test("is degraded while the destination's own settings put events at risk", () => {
  const { health, reasons } = report({ destinationRisks: ["storage=memory: lost", "no_ack=true: again"] });
  assert.equal(health, "degraded");
  assert.deepEqual(reasons, [
    "the destination puts events at risk: storage=memory: lost",
    "the destination puts events at risk: no_ack=true: again",
  ]);
});

test("gives every reason in words, and none when it is ok", () => {
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
    "the collector rejected 3 events: see the dead letters",
    "the queue file fails: see last_error",
    "the collector cannot take events now",
  ]);
});
