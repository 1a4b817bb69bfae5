/** The state of a publisher, and its health. */
import { countOf } from "../format.ts";
import { ROLLED_BACK_WARNING_MS } from "../storage/epochs.ts";
import { NEARLY_FULL, type QueueState } from "../storage/events.ts";
import type { SubscriptionState } from "../storage/subscriptions.ts";
import type { PublisherStats } from "./counts.ts";

/** The last problem of a publisher. */
export interface PublisherProblem {
  /** When it happened, in Unix milliseconds. */
  readonly atMs: number;
  /**
   * - `unavailable`: the destination cannot accept events now.
   * - `misconfigured`: it rejects our requests. It does not pass by itself.
   * - `rejected`: it rejected an event or a batch.
   * - `held`: it rejects so many events that they are kept in the queue.
   * - `storage`: the queue file failed.
   * - `rolled_back`: the queue file was rolled back to an earlier state.
   */
  readonly kind: "unavailable" | "misconfigured" | "rejected" | "held" | "storage" | "rolled_back";
  /** What happened, for people. It never contains a secret. */
  readonly message: string;
}

/** The state of a publisher at one moment. */
export interface PublisherStatus {
  /** The queue's name. */
  readonly queue: string;
  /** The subscription that it publishes. */
  readonly subscription: string;
  /** Whether it publishes: it was started, and not stopped. */
  readonly isRunning: boolean;
  /** Why the new configuration cannot be used; undefined: there is none, or it is in use. */
  readonly reloadProblem?: string | undefined;
  /** Since when the queue is paused, in Unix milliseconds; undefined: it is not. */
  readonly pausedAtMs?: number | undefined;
  /** The contents of the queue file. */
  readonly state: QueueState;
  /** Batches in flight to the destination. */
  readonly inFlight: number;
  /** Events that the destination accepted since the start. */
  readonly delivered: number;
  /** Batches sent again since the start: their leases had been claimed before. */
  readonly retries: number;
  /** Requests since the start that were not accepted whole: no response, a failure, or rejected events. */
  readonly failedRequests: number;
  /** Failed requests in a row. */
  readonly consecutiveFailures: number;
  /** How long ago the current run of failed requests began, in milliseconds. */
  readonly failingForMs: number;
  /** Failures of the queue file in a row. */
  readonly consecutiveStorageFailures: number;
  /** When the destination last accepted events, in Unix milliseconds; undefined: not since the start. */
  readonly lastSuccessAtMs: number | undefined;
  /** The last problem, even if it has ended; undefined: none since the start. */
  readonly lastProblem: PublisherProblem | undefined;
  /** How the destination's own settings can lose or repeat accepted events, in a sentence or two each. */
  readonly destinationRisks: readonly string[];
}

/** The counts and the state of a publisher. Unlike a status, they are available when the queue file cannot be read. */
export interface PublisherMetrics extends Omit<PublisherStatus, "state"> {
  /** The version of this package. */
  readonly version: string;
  /** Counts and histograms of requests, batches and events. */
  readonly counts: PublisherStats;
  /** How many requests may be in flight at once. It adapts to the destination. */
  readonly concurrencyLimit: number;
  /** The most requests in flight at once: `publisher.concurrency`. */
  readonly maxConcurrency: number;
  /** Whether the queue is held: so many events are rejected that no more of them become dead letters. */
  readonly isHeld: boolean;
  /** The size at which a batch is full, in bytes: the configured one, or less after a 413. */
  readonly maxBatchBytes: number;
  /** The size of the queue file (.db), in bytes. */
  readonly dbBytes: number;
  /** The size of its -wal file, in bytes. */
  readonly walBytes: number;
}

/** `ok`: events flow. `degraded`: check it soon. `failing`: somebody must act. */
export type Health = "ok" | "degraded" | "failing";

/** How long requests must fail before the health is `failing`, in milliseconds. */
const FAILING_AFTER_MS = 60_000;

/** The health of a publisher, and the reasons for it. */
export interface HealthReport {
  /** The health in one word. */
  readonly health: Health;
  /** Why it is not `ok`, one sentence each, for people; empty if it is. */
  readonly reasons: readonly string[];
}

/** The health that a status shows. */
export function healthOf(status: PublisherStatus): HealthReport {
  const findings = [...examineQueue(status), ...examineFailures(status), ...examineDestination(status)];
  const isFailing = findings.some(([health]) => health === "failing");
  return {
    health: isFailing ? "failing" : findings.length > 0 ? "degraded" : "ok",
    reasons: findings.map(([, reason]) => reason),
  };
}

type Finding = readonly [health: "degraded" | "failing", reason: string];

/** How long skipped events degrade the health, in milliseconds: a day, so that somebody sees it. */
const SKIPPED_WARNING_MS = 86_400_000;

/** The state of the publisher's own subscription. Other subscriptions have publishers of their own. */
function ownOf({
  state,
  subscription,
}: PublisherStatus): Partial<SubscriptionState> &
  Pick<QueueState, "depth" | "deadLetters" | "droppedDeadLetters"> {
  return state.subscriptions.find(({ name }) => name === subscription) ?? state;
}

/** A status that has of the subscriptions only the publisher's own: its depth, ages and dead letters. */
export function ownStatus(status: PublisherStatus): PublisherStatus {
  const own = status.state.subscriptions.find(({ name }) => name === status.subscription);
  if (own === undefined) return status;
  const { depth, leased, oldestPutAtMs, deadLetters, deadLetterBytes, droppedDeadLetters } = own;
  const counts = { depth, leased, oldestPutAtMs, deadLetters, deadLetterBytes, droppedDeadLetters };
  return { ...status, state: { ...status.state, ...counts } };
}

function* examineQueue(status: PublisherStatus): Generator<Finding> {
  const { state, pausedAtMs } = status;
  if (pausedAtMs !== undefined)
    yield ["degraded", "the queue is paused: events wait until eventspool resume"];
  const { depth, maxEvents } = state;
  const { deadLetters, droppedDeadLetters, skipped = 0, skippedAtMs = 0 } = ownOf(status);
  const fill = `${depth} of at most ${countOf(maxEvents, "event")}`;
  if (depth >= maxEvents) yield ["failing", `the queue is full (${fill}): puts are rejected`];
  else if (depth >= NEARLY_FULL * maxEvents) yield ["degraded", `the queue is nearly full (${fill})`];
  const rejected = countOf(deadLetters, "event");
  if (deadLetters > 0) yield ["degraded", `the destination rejected ${rejected}: see the dead letters`];
  const dropped = countOf(droppedDeadLetters, "dead letter");
  if (droppedDeadLetters > 0) yield ["degraded", `dropped ${dropped} to make room for newer ones`];
  const lost = countOf(skipped, "event");
  if (Date.now() - skippedAtMs < SKIPPED_WARNING_MS)
    yield ["degraded", `the subscription exceeded subscription.lag_limit and skipped ${lost}`];
  if (Date.now() - (state.rolledBackAtMs ?? 0) < ROLLED_BACK_WARNING_MS)
    yield ["degraded", "the queue file was rolled back within the last day: see eventspool check"];
}

function* examineFailures(status: PublisherStatus): Generator<Finding> {
  if (status.reloadProblem !== undefined)
    yield ["degraded", "the new configuration cannot be used: see reload_error"];
  if (status.consecutiveStorageFailures > 0) yield ["failing", "the queue file fails: see last_error"];
  if (status.consecutiveFailures === 0 || ownOf(status).depth === 0) return; // nothing to send: a destination that is down does not matter
  if (status.lastProblem?.kind === "misconfigured")
    yield ["failing", "the destination rejects our requests: its address or our key is wrong"];
  else if (status.lastProblem?.kind === "held")
    yield [
      "failing",
      "the destination rejects too many events: they are kept in the queue; check the schema and " +
        "collector.version (dead_letters.max_share)",
    ];
  else if (status.failingForMs >= FAILING_AFTER_MS)
    yield ["failing", "the destination has been unavailable for more than a minute"];
  else yield ["degraded", "the destination is unavailable"];
}

function* examineDestination({ destinationRisks }: PublisherStatus): Generator<Finding> {
  for (const risk of destinationRisks) yield ["degraded", `the destination puts events at risk: ${risk}`];
}
