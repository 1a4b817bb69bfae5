/**
 * What a publisher counts while it runs, for whoever asks.
 *
 * @module
 */
import { Histogram, type HistogramStats } from "../metrics/family.ts";
import type { Outcome } from "./destinations/destination.ts";

/** Events: one, and then three buckets for each factor of ten, up to what fits in 500 KiB at 50 bytes each. */
const EVENTS = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000];

/** Bytes: from 256 up to 4 MiB, each bucket four times the one before, and one for a full batch of 500 KiB. */
const BYTES = [256, 1_024, 4_096, 16_384, 65_536, 262_144, 512_000, 1_048_576, 4_194_304];

/** Seconds of a request: around those of a collector in the same rack, far away, and past the default timeout. */
const POST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Seconds from put to accepted: a batch waits up to 1 s; after an outage events may be a day old. */
const ACCEPTED_SECONDS = [
  ...[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  ...[60, 300, 900, 3_600, 21_600, 86_400],
];

/** What came of a request: see `Outcome` in src/publisher/destinations/destination.ts. */
export type RequestOutcome = Outcome["kind"];

/** The counts as others see them, all since the publisher started. */
export interface PublisherStats {
  /** Requests that have ended, by what came of them. */
  readonly requests: Readonly<Record<RequestOutcome, number>>;
  /** Requests to which no answer came; a stop that cuts a request is none. They are among the `unavailable`. */
  readonly transportErrors: number;
  /** Batches that were claimed: for the first time, and again, after a failure, a halving or another publisher's death. */
  readonly claims: Readonly<Record<"first" | "again", number>>;
  /** Batches that were halved, since the collector rejected them. */
  readonly splits: number;
  /** Events that became dead letters. */
  readonly deadLettered: number;
  /** Events that `transform` settled without sending them. */
  readonly dropped: number;
  /** Events that were sent without a field of `publisher.drop_fields`. */
  readonly redacted: number;
  /** Leases that ran out, and went to another publisher, before they were settled: their events may arrive twice. */
  readonly lostLeases: number;
  /** Events that the destination already had. */
  readonly duplicates: number;
  /** How often it already had events that were never sent before: the queue's file was rolled back. */
  readonly rollbacks: number;
  /** Failures of the queue's file. */
  readonly storageFailures: number;
  /** Events of a request. */
  readonly batchEvents: HistogramStats;
  /** Size of a request's body before compression, in bytes. */
  readonly batchBytes: HistogramStats;
  /** How long a request took to be answered or to fail, in seconds. */
  readonly postSeconds: HistogramStats;
  /** How long events took from put to the collector's yes, in seconds. */
  readonly acceptedSeconds: HistogramStats;
}

/** Counts in plain numbers: whoever shows them, /metrics say, makes a text of them when asked. */
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
   * Counts the events of a batch that was accepted.
   *
   * @param putAtMs when they were put, or some of them, evenly spread, that stand for all, in Unix milliseconds
   * @param count how many they are
   */
  accepted(putAtMs: readonly number[], count: number, nowMs: number = Date.now()): void {
    for (const [index, atMs] of putAtMs.entries()) {
      const weight = shareOf(count, { index, of: putAtMs.length });
      this.acceptedSeconds.observe(Math.max(0, nowMs - atMs) / 1_000, weight); // the clock may have been set back
    }
  }
}

/** For how many of `count` one of several stands: whole numbers that add up to `count`. */
function shareOf(count: number, { index, of }: { index: number; of: number }): number {
  return Math.floor(((index + 1) * count) / of) - Math.floor((index * count) / of);
}
