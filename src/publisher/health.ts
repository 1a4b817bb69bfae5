/**
 * How a publisher is.
 *
 * @module
 */
import { countOf } from "../format.ts";
import { ROLLED_BACK_WARNING_MS } from "../storage/epochs.ts";
import { NEARLY_FULL, type QueueState } from "../storage/events.ts";
import type { SubscriptionState } from "../storage/subscriptions.ts";
import type { PublisherStats } from "./counts.ts";

/** The last thing that went wrong. */
export interface PublisherProblem {
  /** When, in Unix milliseconds. */
  readonly atMs: number;
  /**
   * `unavailable` and `misconfigured` are the collector's, `rejected` an event's, `held` that of too many
   * events for each to be at fault, `storage` the queue file's, `rolled_back` that of a queue file that was set back.
   */
  readonly kind: "unavailable" | "misconfigured" | "rejected" | "held" | "storage" | "rolled_back";
  /** What happened, in words for people. It never holds a secret. */
  readonly message: string;
}

/** How a publisher is, at one moment. */
export interface PublisherStatus {
  /** The queue's name. */
  readonly queue: string;
  /** The subscription that it publishes. */
  readonly subscription: string;
  /** Publishing: started, and not told to stop. */
  readonly isRunning: boolean;
  /** Why the configuration that was to replace this one cannot be used; undefined: it was not replaced, or can be. */
  readonly reloadProblem?: string | undefined;
  /** Since when the queue is paused, in Unix milliseconds; undefined: it is not. */
  readonly pausedAtMs?: number | undefined;
  /** What the queue's file holds. */
  readonly state: QueueState;
  /** Batches on their way to the collector. */
  readonly inFlight: number;
  /** Events the collector accepted since the start. */
  readonly delivered: number;
  /** Batches that were sent again since the start: leases that had been claimed before. */
  readonly retries: number;
  /** Requests since the start that failed, not for an event's sake: no answer, or one that says to come back. */
  readonly failedRequests: number;
  /** Failed requests in a row. */
  readonly consecutiveFailures: number;
  /** How long there have been only failed requests, in milliseconds. */
  readonly failingForMs: number;
  /** Failures of the queue file in a row. */
  readonly consecutiveStorageFailures: number;
  /** When the collector last accepted a batch, in Unix milliseconds. */
  readonly lastSuccessAtMs: number | undefined;
  /** The last failure, whether or not it is over; undefined: there was none since the start. */
  readonly lastProblem: PublisherProblem | undefined;
  /** How the destination's own settings can lose events that it accepted, or repeat them; a sentence or two each. */
  readonly destinationRisks: readonly string[];
}

/** What a publisher has counted, and how it is; unlike a status, it can be told when the queue's file cannot be read. */
export interface PublisherMetrics extends Omit<PublisherStatus, "state"> {
  /** Of this package. */
  readonly version: string;
  /** Requests, batches and events, and histograms of them. */
  readonly counts: PublisherStats;
  /** How many requests may be on their way at once, as far as the collector has been seen to take them. */
  readonly concurrencyLimit: number;
  /** And never more than these: `publisher.concurrency`. */
  readonly maxConcurrency: number;
  /** Whether so many events are rejected that no more of them become dead letters. */
  readonly isHeld: boolean;
  /** The size at which a batch is full, in bytes: as configured, or as a 413 has taught. */
  readonly maxBatchBytes: number;
  /** The size of the queue's .db file, in bytes. */
  readonly dbBytes: number;
  /** The size of its -wal file, in bytes. */
  readonly walBytes: number;
}

/** `ok`: events flow; `degraded`: look at it soon; `failing`: someone must act. */
export type Health = "ok" | "degraded" | "failing";

/** A collector that has been away this long, in milliseconds, is not a hiccup any more. */
const FAILING_AFTER_MS = 60_000;

/** A status summed up: in one word, and what speaks against `ok`, in words for people. */
export interface HealthReport {
  /** In one word. */
  readonly health: Health;
  /** What speaks against `ok`, a sentence each, for people; none if it is. */
  readonly reasons: readonly string[];
}

/** Sums up a status. */
export function healthOf(status: PublisherStatus): HealthReport {
  const findings = [...examineQueue(status), ...examineFailures(status), ...examineDestination(status)];
  const isFailing = findings.some(([health]) => health === "failing");
  return {
    health: isFailing ? "failing" : findings.length > 0 ? "degraded" : "ok",
    reasons: findings.map(([, reason]) => reason),
  };
}

type Finding = readonly [health: "degraded" | "failing", reason: string];

/** For how long skipped events are worth a warning, in milliseconds: a day, so that someone sees it. */
const SKIPPED_WARNING_MS = 86_400_000;

/** What the publisher's own subscription has: others have publishers of their own. */
function ownOf({
  state,
  subscription,
}: PublisherStatus): Partial<SubscriptionState> &
  Pick<QueueState, "depth" | "deadLetters" | "droppedDeadLetters"> {
  return state.subscriptions.find(({ name }) => name === subscription) ?? state;
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
  if (deadLetters > 0) yield ["degraded", `the collector rejected ${rejected}: see the dead letters`];
  const dropped = countOf(droppedDeadLetters, "dead letter");
  if (droppedDeadLetters > 0) yield ["degraded", `dropped ${dropped} to make room for newer ones`];
  if (Date.now() - skippedAtMs < SKIPPED_WARNING_MS)
    yield ["degraded", `lagged too far behind within the last day, and skipped ${countOf(skipped, "event")}`];
  if (Date.now() - (state.rolledBackAtMs ?? 0) < ROLLED_BACK_WARNING_MS)
    yield ["degraded", "the queue file was rolled back within the last day: see eventspool check"];
}

function* examineFailures(status: PublisherStatus): Generator<Finding> {
  if (status.reloadProblem !== undefined)
    yield ["degraded", "the configuration was to be read again and cannot be used: see reload_error"];
  if (status.consecutiveStorageFailures > 0) yield ["failing", "the queue file fails: see last_error"];
  if (status.consecutiveFailures === 0 || ownOf(status).depth === 0) return; // a collector that nobody needs may be away
  if (status.lastProblem?.kind === "misconfigured")
    yield ["failing", "the collector takes no events from us: its address or our key is wrong"];
  else if (status.lastProblem?.kind === "held")
    yield [
      "failing",
      "the collector rejects too many events for each to be at fault: they are kept in the queue; see that " +
        "schema and collector.version are what it takes (dead_letters.max_share)",
    ];
  else if (status.failingForMs >= FAILING_AFTER_MS)
    yield ["failing", "the collector has been away for more than a minute"];
  else yield ["degraded", "the collector cannot take events now"];
}

function* examineDestination({ destinationRisks }: PublisherStatus): Generator<Finding> {
  for (const risk of destinationRisks) yield ["degraded", `the destination puts events at risk: ${risk}`];
}
