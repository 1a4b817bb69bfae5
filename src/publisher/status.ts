/**
 * How a publisher is.
 *
 * @module
 */
import type { QueueState } from "../store/event_table.ts";

/** The last thing that went wrong. */
export interface PublisherProblem {
  /** When, in Unix milliseconds. */
  readonly atMs: number;
  /** `unavailable` and `misconfigured` are the collector's, `refused` an event's, `storage` the queue file's. */
  readonly kind: "unavailable" | "misconfigured" | "refused" | "storage";
  readonly message: string;
}

/** How a publisher is, at one moment. */
export interface PublisherStatus {
  readonly queue: string;
  /** Publishing: started, and not told to stop. */
  readonly isRunning: boolean;
  readonly state: QueueState;
  /** Batches on their way to the collector. */
  readonly inFlight: number;
  /** Events the collector accepted since the start. */
  readonly delivered: number;
  /** Failed requests in a row. */
  readonly failures: number;
  /** How long there have been only failed requests, in milliseconds. */
  readonly failingForMs: number;
  /** Failures of the queue file in a row. */
  readonly storageFailures: number;
  /** When the collector last accepted a batch, in Unix milliseconds. */
  readonly lastSuccessAtMs: number | undefined;
  readonly lastProblem: PublisherProblem | undefined;
}

/** `ok`: events flow; `degraded`: look at it soon; `failing`: someone must act. */
export type Health = "ok" | "degraded" | "failing";

/** A collector that has been away this long, in milliseconds, is not a hiccup any more. */
const FAILING_AFTER_MS = 60_000;

/** A queue this full will soon refuse. */
const DEGRADED_FILL = 0.8;

/** Sums up a status in one word. */
export function healthOf(status: PublisherStatus): Health {
  const { depth, maxEvents } = status.state;
  if (depth >= maxEvents || status.storageFailures > 0) return "failing";
  if (status.failures > 0 && depth > 0) {
    const needsOperator = status.lastProblem?.kind === "misconfigured";
    return needsOperator || status.failingForMs >= FAILING_AFTER_MS ? "failing" : "degraded";
  }
  return depth >= DEGRADED_FILL * maxEvents ? "degraded" : "ok";
}
