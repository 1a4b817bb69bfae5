/**
 * The batches on their way: each is sent, and its lease is settled as the outcome says.
 *
 * @module
 */
import type { Misconfigured, Mixed, Refused, Unavailable } from "../destinations/outcome.ts";
import { STORAGE_BACKOFF_MAX_MS } from "../limits.ts";
import type { PublisherCounts } from "../metrics/publisher_counts.ts";
import type { Lease, LeaseTable } from "../store/lease_table.ts";
import type { BatchSize } from "./batch_size.ts";
import type { DeadLetterBudget } from "./dead_letter_budget.ts";
import { Gate } from "./gate.ts";
import { Lanes } from "./lanes.ts";
import * as log from "./log.ts";
import { persist } from "./persist.ts";
import type { Sender, Sent } from "./sender.ts";
import type { PublisherProblem, PublisherStatus } from "./status.ts";

/** What deliveries work with. */
export interface DeliveriesParts {
  readonly leases: LeaseTable;
  /** Told when leases were settled. */
  readonly onSettled: () => void;
  readonly sender: Sender;
  /** What a 413 teaches. */
  readonly batchSize: BatchSize;
  /** Which refused events may become dead letters. */
  readonly budget: DeadLetterBudget;
  /** How many may be on their way at once, at most. */
  readonly concurrency: number;
  /** Does what can be done about a queue file that fails: gives up the ballast on a full disk. */
  readonly relieve: (error: unknown) => void;
  /** Told when one has ended. */
  readonly onEnd: () => void;
  readonly counts: PublisherCounts;
}

/** Sends leases and settles them, and keeps the count of what went well and what did not. */
export class Deliveries {
  /** The way to the collector. */
  readonly collectorGate: Gate = new Gate();
  /** The way to the queue file. */
  readonly storageGate: Gate = new Gate(STORAGE_BACKOFF_MAX_MS);
  readonly #parts: DeliveriesParts;
  readonly #lanes: Lanes;
  readonly #inFlight = new Map<number, Promise<void>>();
  readonly #cut = new AbortController();
  #delivered = 0;
  #failedRequests = 0;
  #lastSuccessAtMs: number | undefined;
  #lastProblem: PublisherProblem | undefined;

  constructor(parts: DeliveriesParts) {
    this.#parts = parts;
    this.#lanes = new Lanes(parts.concurrency);
  }

  /** Those on their way, by the ids of their leases. */
  get inFlight(): ReadonlyMap<number, Promise<void>> {
    return this.#inFlight;
  }

  /** How many may be on their way now. */
  get laneCount(): number {
    return this.#lanes.count;
  }

  /** Whether another may be started. */
  get hasRoom(): boolean {
    return this.#inFlight.size < this.#lanes.count;
  }

  /** Whether the collector refuses too many events for each to be at fault. */
  get isHeld(): boolean {
    return this.#parts.budget.isSpent;
  }

  /** What a status tells of them. */
  figures(): Omit<PublisherStatus, "queue" | "isRunning" | "state"> {
    return {
      inFlight: this.#inFlight.size,
      delivered: this.#delivered,
      retries: this.#parts.counts.claims.again,
      failedRequests: this.#failedRequests,
      failures: this.collectorGate.failures,
      failingForMs: this.collectorGate.failingForMs(),
      storageFailures: this.storageGate.failures,
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
    const isNews = this.storageGate.failures === 0 || this.#lastProblem?.message !== message;
    this.#noteProblem("storage", message);
    this.#parts.counts.storageFailures++;
    this.#parts.relieve(error);
    const retryInMs = this.storageGate.failed();
    log.logStorageFailure(message, { retryInMs, isNews });
    return retryInMs;
  };

  async #deliver(lease: Lease): Promise<void> {
    try {
      const settle = this.#judge(lease, await this.#parts.sender.send(lease, this.#cut.signal));
      const isMine = await persist(settle, { onFailure: this.storageFailed, stop: this.#cut.signal });
      this.storageGate.succeeded();
      if (!isMine) this.#lost(lease);
      this.#parts.onSettled();
    } catch (error) {
      this.storageFailed(error); // the lease runs out by itself
    }
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
      case "mixed":
        if (outcome.failure === undefined) this.#tookAll(sent);
        return this.#mixed(lease, outcome, sent.acceptedCount);
      case "refused":
        if (outcome.status === 413 && count > 1) this.#learnSize(sizeBytes);
        return this.#refused(lease, outcome);
      default:
        this.#failed(lease, outcome);
        return () => this.#parts.leases.release(lease);
    }
  }

  /** What the collector takes, and how quickly, says how large batches may be and how many are in flight. */
  #tookAll({ count, sizeBytes, durationMs }: Sent): void {
    this.#parts.batchSize.accepted(sizeBytes);
    if (count > 0 && this.collectorGate.failures === 0) this.#lanes.answered(durationMs, this.#inFlight.size);
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
  #mixed(lease: Lease, { refused, undelivered, failure }: Mixed, acceptedCount: number): () => boolean {
    if (acceptedCount > 0) this.#took(acceptedCount);
    const dead = refused.filter(() => this.#parts.budget.spend());
    const [held] = refused.slice(dead.length);
    const kept = [...undelivered, ...refused.slice(dead.length).map(({ id }) => id)].sort((a, b) => a - b);
    for (const event of dead) {
      this.#noteProblem("refused", describe(event));
      log.logDeadLetter({ ...lease, firstId: event.id }, event.status, event.answer);
    }
    if (held !== undefined) this.#hold(lease, held);
    else if (failure !== undefined) this.#failed(lease, failure);
    else this.#answered();
    return () => this.#buried(this.#parts.leases.settle(lease, { dead, kept }), dead.length);
  }

  /** Halves the batch, down to the one event at fault, which becomes a dead letter unless too many do. */
  #refused(lease: Lease, outcome: Refused): () => boolean {
    if (this.#parts.budget.isSpent) return this.#held(lease, outcome);
    this.#answered(); // the collector works; it does not like these events
    this.#noteProblem("refused", describe(outcome));
    if (isOneEvent(lease)) return this.#dead(lease, outcome);
    log.logSplit(lease, outcome.status, outcome.answer);
    return () => this.#split(lease);
  }

  #dead(lease: Lease, { status, answer }: Refused): () => boolean {
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

  /** An outage, as far as these events go: what was refused waits, and something else is tried. */
  #held(lease: Lease, outcome: Refused): () => boolean {
    this.#hold(lease, outcome);
    return () => (isOneEvent(lease) ? this.#parts.leases.release(lease) : this.#split(lease));
  }

  #hold(lease: Lease, refusal: Pick<Refused, "status" | "answer">): void {
    this.#noteProblem("held", describe(refusal));
    log.logHeld(lease, refusal.status, refusal.answer, this.#shut());
  }

  #split(lease: Lease): boolean {
    const isMine = this.#parts.leases.split(lease, Math.floor((lease.firstId + lease.lastId) / 2));
    if (isMine) this.#parts.counts.splits++;
    return isMine;
  }

  #learnSize(sizeBytes: number): void {
    const { batchSize } = this.#parts;
    if (batchSize.tooLarge(sizeBytes)) log.logShrunk(sizeBytes, batchSize.bytes());
  }

  /** The collector works. A log that ends with its failure would have people look for one that is over. */
  #answered(): void {
    const wasFailing = this.collectorGate.failures > 0;
    const failingForMs = this.collectorGate.failingForMs();
    this.collectorGate.succeeded();
    if (wasFailing && this.collectorGate.failures === 0) log.logRecovered(failingForMs);
  }

  #failed(lease: Lease, failure: Unavailable | Misconfigured): void {
    this.#noteProblem(failure.kind, failure.reason);
    if (failure.kind === "misconfigured") log.logMisconfigured(lease, failure.reason, this.#shut());
    else log.logUnavailable(lease, failure.reason, this.#shut(failure.retryAfterMs));
  }

  #shut(retryAfterMs?: number): number {
    this.#failedRequests++;
    this.#lanes.failed();
    return this.collectorGate.failed(retryAfterMs);
  }

  #noteProblem(kind: PublisherProblem["kind"], message: string): void {
    this.#lastProblem = { atMs: Date.now(), kind, message };
  }
}

function isOneEvent({ firstId, lastId }: Lease): boolean {
  return firstId === lastId;
}

function describe({ status, answer }: Pick<Refused, "status" | "answer">): string {
  return `the collector answered ${status}: ${answer}`;
}
