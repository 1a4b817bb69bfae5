/**
 * The batches on their way: each is sent, and its lease is settled as the outcome says.
 *
 * @module
 */

import { setTimeout as sleep } from "node:timers/promises";
import type { PublisherCounts } from "../metrics/publisher_counts.ts";
import type { Lease, LeaseTable } from "../storage/leases.ts";
import type { BatchSize } from "./batcher.ts";
import { CircuitBreaker } from "./circuit_breaker.ts";
import { ConcurrencyLimit } from "./concurrency_limit.ts";
import type { Misconfigured, PartlyAccepted, Rejected, Unavailable } from "./destinations/destination.ts";
import type { PublisherProblem, PublisherStatus } from "./health.ts";
import * as log from "./log.ts";
import type { PoisonGuard } from "./poison_guard.ts";
import type { Sender, Sent } from "./sender.ts";

/** The last ceiling of the backoff from a queue file that fails, in milliseconds: nobody else is burdened. */
const STORAGE_BACKOFF_MAX_MS = 1_000;

/** What deliveries work with. */
export interface DeliveriesDependencies {
  readonly leases: LeaseTable;
  /** Told when leases were settled. */
  readonly onSettled: () => void;
  readonly sender: Sender;
  /** What a 413 teaches. */
  readonly batchSize: BatchSize;
  /** Which rejected events may become dead letters. */
  readonly budget: PoisonGuard;
  /** How many may be on their way at once, at most. */
  readonly concurrency: number;
  /** Does what can be done about a queue file that fails: gives up the ballast on a full disk. */
  readonly freeSpace: (error: unknown) => void;
  /** Told when one has ended. */
  readonly onEnd: () => void;
  readonly counts: PublisherCounts;
}

/** Sends leases and settles them, and keeps the count of what went well and what did not. */
export class Deliveries {
  /** The way to the collector. */
  readonly collectorBreaker: CircuitBreaker = new CircuitBreaker();
  /** The way to the queue file. */
  readonly storageBreaker: CircuitBreaker = new CircuitBreaker(STORAGE_BACKOFF_MAX_MS);
  readonly #parts: DeliveriesDependencies;
  readonly #concurrency: ConcurrencyLimit;
  readonly #inFlight = new Map<number, Promise<void>>();
  readonly #cut = new AbortController();
  #delivered = 0;
  #failedRequests = 0;
  #lastSuccessAtMs: number | undefined;
  #lastProblem: PublisherProblem | undefined;

  constructor(parts: DeliveriesDependencies) {
    this.#parts = parts;
    this.#concurrency = new ConcurrencyLimit(parts.concurrency);
  }

  /** Those on their way, by the ids of their leases. */
  get inFlight(): ReadonlyMap<number, Promise<void>> {
    return this.#inFlight;
  }

  /** How many may be on their way now. */
  get laneCount(): number {
    return this.#concurrency.count;
  }

  /** Whether another may be started. */
  get hasRoom(): boolean {
    return this.#inFlight.size < this.#concurrency.count;
  }

  /** Whether the collector rejects too many events for each to be at fault. */
  get isHeld(): boolean {
    return this.#parts.budget.isSpent;
  }

  /** What a status tells of them. */
  figures(): Omit<PublisherStatus, "queue" | "isRunning" | "state" | "destinationRisks"> {
    return {
      inFlight: this.#inFlight.size,
      delivered: this.#delivered,
      retries: this.#parts.counts.claims.again,
      failedRequests: this.#failedRequests,
      failures: this.collectorBreaker.failures,
      failingForMs: this.collectorBreaker.failingForMs(),
      storageFailures: this.storageBreaker.failures,
      lastSuccessAtMs: this.#lastSuccessAtMs,
      lastProblem: this.#lastProblem,
    };
  }

  /** Starts one. */
  start(lease: Lease): void {
    this.#parts.counts.claims[lease.attempts === 1 ? "first" : "again"]++;
    const delivery = this.#deliver(lease).finally(() => {
      this.#inFlight.delete(lease.id);
      this.#parts.onEnd();
    });
    this.#inFlight.set(lease.id, delivery);
  }

  /** Resolves when all have ended; those that have not after the grace time are cut, and their leases given back. */
  async drain(graceMs: number): Promise<void> {
    log.logStopping(this.#inFlight.size, graceMs);
    const timer = setTimeout(() => this.#cut.abort(), graceMs);
    await Promise.all(this.#inFlight.values());
    clearTimeout(timer);
  }

  /** Takes note of a queue file that fails. Returns how long to leave it alone, in milliseconds. */
  readonly storageFailed = (error: unknown): number => {
    const message = error instanceof Error ? error.message : String(error);
    // Tried again every second: a line each time would help to fill the disk.
    const isNews = this.storageBreaker.failures === 0 || this.#lastProblem?.message !== message;
    this.#noteProblem("storage", message);
    this.#parts.counts.storageFailures++;
    this.#parts.freeSpace(error);
    const retryInMs = this.storageBreaker.failed();
    log.logStorageFailure(message, { retryInMs, isNews });
    return retryInMs;
  };

  async #deliver(lease: Lease): Promise<void> {
    try {
      const sent = await this.#parts.sender.send(lease, this.#cut.signal);
      const options = { onFailure: this.storageFailed, stop: this.#cut.signal };
      const mustResend = await retrySettle(() => this.#mustResend(lease, sent), options);
      const settle = mustResend ? () => this.#parts.leases.release(lease) : this.#judge(lease, sent);
      const isMine = await retrySettle(settle, options);
      this.storageBreaker.succeeded();
      if (!isMine) this.#lost(lease);
      this.#parts.onSettled();
    } catch (error) {
      this.storageFailed(error); // the lease runs out by itself
    }
  }

  /**
   * Whether events must go again under another UUID, since the destination knows their ids from other events: those
   * that the queue's file held before it was rolled back. That is so of a batch that nobody sent before, and of all
   * that were on their way under the same UUID by then; a batch that was sent before is known for that reason.
   */
  #mustResend(lease: Lease, { outcome, uuid }: Sent): boolean {
    const duplicates = "duplicates" in outcome ? (outcome.duplicates ?? 0) : 0;
    if (duplicates === 0) return false;
    const { leases, counts } = this.#parts;
    const isFirstSend = lease.sends === 1;
    const isRolledBack = isFirstSend && leases.epochs.rolledBack(lease.firstId, uuid);
    const isRenamed = leases.epochs.uuidAt(lease.firstId) !== uuid;
    counts.duplicates += duplicates;
    if (isFirstSend && !isRenamed) log.logKnown(lease, duplicates);
    if (!isRolledBack) return isRenamed;
    counts.rollbacks++;
    this.#noteProblem(
      "rolled_back",
      `the destination already had events ${lease.firstId} to ${lease.lastId}`,
    );
    log.logRolledBack(lease, duplicates);
    return true;
  }

  #lost(lease: Lease): void {
    this.#parts.counts.lostLeases++;
    log.logLeaseLost(lease);
  }

  /** Takes note of the outcome, and returns what is to be done to the lease; that gives false when another publisher has it. */
  #judge(lease: Lease, sent: Sent): () => boolean | Promise<boolean> {
    const { outcome, count, sizeBytes } = sent;
    switch (outcome.kind) {
      case "accepted":
        this.#tookAll(sent);
        return this.#accepted(lease, count);
      case "partial":
        if (outcome.failure === undefined) this.#tookAll(sent);
        return this.#partial(lease, outcome, sent.acceptedCount);
      case "rejected":
        if (outcome.status === 413 && count > 1) this.#learnSize(sizeBytes);
        return this.#rejected(lease, outcome);
      default:
        this.#failed(lease, outcome);
        return () => this.#parts.leases.release(lease, mayHaveArrived(outcome));
    }
  }

  /** What the collector takes, and how quickly, says how large batches may be and how many are in flight. */
  #tookAll({ count, sizeBytes, durationMs }: Sent): void {
    this.#parts.batchSize.accepted(sizeBytes);
    if (count > 0 && this.collectorBreaker.failures === 0)
      this.#concurrency.answered(durationMs, this.#inFlight.size);
  }

  #accepted(lease: Lease, count: number): () => Promise<boolean> {
    this.#answered();
    this.#took(count);
    return () => this.#parts.leases.ack(lease);
  }

  #took(count: number): void {
    this.#delivered += count;
    this.#parts.budget.delivered(count);
    this.#lastSuccessAtMs = Date.now();
  }

  /** The events at fault are known: they become dead letters as far as the budget goes, and the others need not wait. */
  #partial(
    lease: Lease,
    { rejected, undelivered, failure }: PartlyAccepted,
    acceptedCount: number,
  ): () => boolean {
    if (acceptedCount > 0) this.#took(acceptedCount);
    const dead = rejected.filter(() => this.#parts.budget.spend());
    const [held] = rejected.slice(dead.length);
    const kept = [...undelivered, ...rejected.slice(dead.length).map(({ id }) => id)].sort((a, b) => a - b);
    for (const event of dead) {
      this.#noteProblem("rejected", describe(event));
      log.logDeadLetter({ ...lease, firstId: event.id }, event.status, event.answer);
    }
    if (held !== undefined) this.#hold(lease, held);
    else if (failure !== undefined) this.#failed(lease, failure);
    else this.#answered();
    return () => this.#buried(this.#parts.leases.settle(lease, { dead, kept }), dead.length);
  }

  /** Halves the batch, down to the one event at fault, which becomes a dead letter unless too many do. */
  #rejected(lease: Lease, outcome: Rejected): () => boolean {
    if (this.#parts.budget.isSpent) return this.#held(lease, outcome);
    this.#answered(); // the collector works; it does not like these events
    this.#noteProblem("rejected", describe(outcome));
    if (isOneEvent(lease)) return this.#dead(lease, outcome);
    log.logSplit(lease, outcome.status, outcome.answer);
    return () => this.#split(lease);
  }

  #dead(lease: Lease, { status, answer }: Rejected): () => boolean {
    this.#parts.budget.spend();
    log.logDeadLetter(lease, status, answer);
    return () => this.#buried(this.#parts.leases.deadLetter(lease, { status, answer }), 1);
  }

  /** @param dropped how many older dead letters made room; undefined: the lease was lost before */
  #buried(dropped: number | undefined, count: number): boolean {
    if (dropped) log.logDropped(dropped);
    if (dropped !== undefined) this.#parts.counts.deadLettered += count;
    return dropped !== undefined;
  }

  /** An outage, as far as these events go: what was rejected waits, and something else is tried. */
  #held(lease: Lease, outcome: Rejected): () => boolean {
    this.#hold(lease, outcome);
    return () => (isOneEvent(lease) ? this.#parts.leases.release(lease, false) : this.#split(lease));
  }

  #hold(lease: Lease, rejection: Pick<Rejected, "status" | "answer">): void {
    this.#noteProblem("held", describe(rejection));
    log.logHeld(lease, rejection.status, rejection.answer, this.#shut());
  }

  #split(lease: Lease): boolean {
    const middleId = Math.floor((lease.firstId + lease.lastId) / 2);
    const isMine = this.#parts.leases.split(lease, middleId, false);
    if (isMine) this.#parts.counts.splits++;
    return isMine;
  }

  #learnSize(sizeBytes: number): void {
    const { batchSize } = this.#parts;
    if (batchSize.tooLarge(sizeBytes)) log.logShrunk(sizeBytes, batchSize.bytes());
  }

  /** The collector works. A log that ends with its failure would have people look for one that is over. */
  #answered(): void {
    const wasFailing = this.collectorBreaker.failures > 0;
    const failingForMs = this.collectorBreaker.failingForMs();
    this.collectorBreaker.succeeded();
    if (wasFailing && this.collectorBreaker.failures === 0) log.logRecovered(failingForMs);
  }

  #failed(lease: Lease, failure: Unavailable | Misconfigured): void {
    this.#noteProblem(failure.kind, failure.reason);
    if (failure.kind === "misconfigured") log.logMisconfigured(lease, failure.reason, this.#shut());
    else log.logUnavailable(lease, failure.reason, this.#shut(failure.retryAfterMs));
  }

  #shut(retryAfterMs?: number): number {
    this.#failedRequests++;
    this.#concurrency.failed();
    return this.collectorBreaker.failed(retryAfterMs);
  }

  #noteProblem(kind: PublisherProblem["kind"], message: string): void {
    this.#lastProblem = { atMs: Date.now(), kind, message };
  }
}

/** Whether the destination may have events that it did not accept. */
function mayHaveArrived(failure: Unavailable | Misconfigured): boolean {
  return failure.kind === "unavailable" && failure.isUnsent !== true;
}

function isOneEvent({ firstId, lastId }: Lease): boolean {
  return firstId === lastId;
}

function describe({ status, answer }: Pick<Rejected, "status" | "answer">): string {
  return `the collector answered ${status}: ${answer}`;
}

/** What {@link retrySettle} works with. */
export interface PersistOptions {
  /** Told of each failure; returns how long to wait before the next try, in milliseconds. */
  readonly onFailure: (error: unknown) => number;
  /** When it aborts, there is one more try. */
  readonly stop: AbortSignal;
}

/**
 * Settles until the queue file lets it: what the collector has taken and we forget is sent to it a
 * second time. Rejects with the last failure when it is stopped.
 *
 * @param settle what was done when it threw must do no harm when it is done again
 */
export async function retrySettle<T>(
  settle: () => T | Promise<T>,
  { onFailure, stop }: PersistOptions,
): Promise<T> {
  for (;;) {
    try {
      return await settle();
    } catch (error) {
      if (stop.aborted) throw error;
      await sleep(onFailure(error), undefined, { signal: stop }).catch(() => {}); // stopped: try once more
    }
  }
}
