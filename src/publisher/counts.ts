/** What a publisher counts while it runs. */
import { Histogram, type HistogramStats } from "../metrics/family.ts";
import type { Outcome } from "./destinations/destination.ts";

/** Buckets of events in a request: up to as many events of 50 bytes as fit in 500 KiB. */
const EVENTS = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000];

/** Buckets of bytes in a request: powers of four from 256 to 4 MiB, and a full batch of 500 KiB. */
const BYTES = [256, 1_024, 4_096, 16_384, 65_536, 262_144, 512_000, 1_048_576, 4_194_304];

/** Buckets of seconds of a request: from a collector in the same rack to more than the default timeout. */
const POST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Buckets of seconds from put to accepted: a batch waits up to 1 s; after an outage events may be a day old. */
const ACCEPTED_SECONDS = [
  ...[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  ...[60, 300, 900, 3_600, 21_600, 86_400],
];

/** The outcome of a request, as in `Outcome`. */
export type RequestOutcome = Outcome["kind"];

/** What a publisher has counted since it started. */
export interface PublisherStats {
  /** Requests that have ended, by outcome. */
  readonly requests: Readonly<Record<RequestOutcome, number>>;
  /** Requests without a response, unless a stop aborted them. They are among the `unavailable` ones. */
  readonly transportErrors: number;
  /** Batches that were claimed for the first time, and again after a failure, a split or another publisher's death. */
  readonly claims: Readonly<Record<"first" | "again", number>>;
  /** Batches that were split in halves because the destination rejected them. */
  readonly splits: number;
  /** Events that became dead letters. */
  readonly deadLettered: number;
  /** Events that `transform` settled without sending them. */
  readonly dropped: number;
  /** Events that were sent without a field of `publisher.drop_fields`. */
  readonly redacted: number;
  /** Leases that expired and went to another publisher before they were settled: their events may arrive twice. */
  readonly lostLeases: number;
  /** Events that the destination already had. */
  readonly duplicates: number;
  /** Batches of which the destination already had events that were never sent: the queue file was rolled back. */
  readonly rollbacks: number;
  /** Failures of the queue file. */
  readonly storageFailures: number;
  /** Events in a request. */
  readonly batchEvents: HistogramStats;
  /** The size of a request's body before compression, in bytes. */
  readonly batchBytes: HistogramStats;
  /** How long a request took to succeed or fail, in seconds. */
  readonly postSeconds: HistogramStats;
  /** The time from put to accepted, in seconds. */
  readonly acceptedSeconds: HistogramStats;
}

/** The counts as plain numbers. `/metrics` formats them on request. */
export class PublisherCounts implements PublisherStats {
  readonly requests: Record<RequestOutcome, number> = {
    accepted: 0,
    unavailable: 0,
    misconfigured: 0,
    rejected: 0,
    partial: 0,
  };
  transportErrors = 0;
  readonly claims: Record<"first" | "again", number> = { first: 0, again: 0 };
  splits = 0;
  deadLettered = 0;
  dropped = 0;
  redacted = 0;
  lostLeases = 0;
  duplicates = 0;
  rollbacks = 0;
  storageFailures = 0;
  readonly batchEvents: Histogram = new Histogram(EVENTS);
  readonly batchBytes: Histogram = new Histogram(BYTES);
  readonly postSeconds: Histogram = new Histogram(POST_SECONDS);
  readonly acceptedSeconds: Histogram = new Histogram(ACCEPTED_SECONDS);

  /** Counts a request that has ended. @param durationMs in milliseconds */
  requested(
    outcome: RequestOutcome,
    { count, sizeBytes, durationMs }: { count: number; sizeBytes: number; durationMs: number },
  ): void {
    this.requests[outcome]++;
    this.batchEvents.observe(count);
    this.batchBytes.observe(sizeBytes);
    this.postSeconds.observe(durationMs / 1_000);
  }

  /**
   * Counts accepted events.
   *
   * @param putAtMs when they were put, in Unix milliseconds: of all events, or of an even sample of them
   * @param count how many events were accepted
   */
  accepted(putAtMs: readonly number[], count: number, nowMs: number = Date.now()): void {
    for (const [index, atMs] of putAtMs.entries()) {
      const weight = shareOf(count, { index, of: putAtMs.length });
      this.acceptedSeconds.observe(Math.max(0, nowMs - atMs) / 1_000, weight); // the clock may have been set back
    }
  }
}

/** How many of `count` events one sample represents. The shares are integers with the sum `count`. */
function shareOf(count: number, { index, of }: { index: number; of: number }): number {
  return Math.floor(((index + 1) * count) / of) - Math.floor((index * count) / of);
}
