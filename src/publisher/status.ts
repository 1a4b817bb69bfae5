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
  /** How long there have been only failures, in milliseconds. */
  readonly failingForMs: number;
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
export function healthOf({ state, failures, failingForMs, lastProblem }: PublisherStatus): Health {
  if (state.depth >= state.maxEvents) return "failing";
  if (failures > 0) {
    const needsOperator = lastProblem?.kind === "misconfigured" || lastProblem?.kind === "storage";
    return needsOperator || failingForMs >= FAILING_AFTER_MS ? "failing" : "degraded";
  }
  return state.depth >= DEGRADED_FILL * state.maxEvents ? "degraded" : "ok";
}
