/** What follows from an outcome: for the lease, and for the next batches. */
import type { EventOutcomes, Lease } from "../storage/leases.ts";
import type { BatchSize } from "./batcher.ts";
import { CircuitBreaker } from "./circuit_breaker.ts";
import { ConcurrencyLimit } from "./concurrency_limit.ts";
import type { PublisherCounts } from "./counts.ts";
import type { Misconfigured, PartiallyAccepted, Rejected, Unavailable } from "./destinations/destination.ts";
import type { PublisherProblem, PublisherStatus } from "./health.ts";
import * as log from "./log.ts";
import type { PoisonGuard } from "./poison_guard.ts";
import type { Sent } from "./sender.ts";

/** How a lease is settled: as data, so that it can be retried when the queue file fails. */
export type Settlement =
  /** All events are delivered. */
  | { readonly kind: "ack" }
  /** All events are sent again. `wasReceived`: whether the destination may have received them. */
  | { readonly kind: "release"; readonly wasReceived: boolean }
  /** All events are sent again, in two halves. */
  | { readonly kind: "split" }
  /** Some events become dead letters, some are sent again, the others are delivered. */
  | ({ readonly kind: "each" } & EventOutcomes);

/**
 * Whether the destination knows the same events by the ids of a batch.
 *
 * - `same`: it does.
 * - `renamed`: it knows other events, and ours have got another UUID since.
 * - `rolled_back`: it knows other events, and this batch is the first to show it: the queue file was rolled back.
 */
export type Identity = "same" | "renamed" | "rolled_back";

/** Dependencies of a {@link DeliveryPolicy}. */
export interface DeliveryPolicyDependencies {
  /** Shrinks after a 413. */
  readonly batchSize: BatchSize;
  /** Limits how many rejected events become dead letters. */
  readonly poisonGuard: PoisonGuard;
  /** The most batches in flight at once. */
  readonly maxConcurrency: number;
  /** The longest backoff from a failing destination, in milliseconds. */
  readonly maxBackoffMs: number;
  readonly counts: PublisherCounts;
}

/** Decides how each lease is settled, and learns from the outcomes. It touches no file. */
export class DeliveryPolicy {
  /** Whether requests may be sent now. */
  readonly breaker: CircuitBreaker;
  /** How many batches may be in flight at once. */
  readonly concurrency: ConcurrencyLimit;
  readonly #batchSize: BatchSize;
  readonly #poisonGuard: PoisonGuard;
  readonly #counts: PublisherCounts;
  #delivered = 0;
  #lastSuccessAtMs: number | undefined;
  #lastProblem: PublisherProblem | undefined;

  constructor({ batchSize, poisonGuard, maxConcurrency, maxBackoffMs, counts }: DeliveryPolicyDependencies) {
    this.breaker = new CircuitBreaker(maxBackoffMs);
    this.concurrency = new ConcurrencyLimit(maxConcurrency);
    this.#batchSize = batchSize;
    this.#poisonGuard = poisonGuard;
    this.#counts = counts;
  }

  /** Whether the queue is held: so many events are rejected that no more of them become dead letters. */
  get isHeld(): boolean {
    return this.#poisonGuard.isSpent;
  }

  /** The part of a status that the outcomes determine. */
  stats(): Pick<
    PublisherStatus,
    | "delivered"
    | "failedRequests"
    | "consecutiveFailures"
    | "failingForMs"
    | "lastSuccessAtMs"
    | "lastProblem"
  > {
    return {
      delivered: this.#delivered,
      failedRequests: notAccepted(this.#counts.requests),
      consecutiveFailures: this.breaker.failures,
      failingForMs: this.breaker.failingForMs(),
      lastSuccessAtMs: this.#lastSuccessAtMs,
      lastProblem: this.#lastProblem,
    };
  }

  /**
   * Learns from the outcome of a delivery, and decides how its lease is settled.
   *
   * @param inFlight how many batches were in flight, including this one
   */
  decide(
    lease: Lease,
    sent: Sent,
    { identity, inFlight }: { identity: Identity; inFlight: number },
  ): Settlement {
    const { outcome, count, sizeBytes } = sent;
    if (this.#mustResend(lease, sent, identity)) return { kind: "release", wasReceived: true };
    switch (outcome.kind) {
      case "accepted":
        if (outcome.dropped === count && count > 0) return { kind: "ack" }; // nothing was sent
        this.#learnLimits(sent, inFlight);
        this.#available();
        this.#accepted(sent.acceptedCount);
        return { kind: "ack" };
      case "partial":
        if (outcome.failure === undefined) this.#learnLimits(sent, inFlight);
        return this.#partial(lease, outcome, sent.acceptedCount);
      case "rejected":
        if (outcome.status === 413 && count > 1) this.#learnSize(sizeBytes);
        return this.#rejected(lease, outcome);
      default:
        this.#failed(lease, outcome);
        return { kind: "release", wasReceived: mayHaveArrived(outcome) };
    }
  }

  /** Whether the events must be sent again under another UUID: the destination has other events with their ids. */
  #mustResend(lease: Lease, { outcome }: Sent, identity: Identity): boolean {
    const duplicates = "duplicates" in outcome ? (outcome.duplicates ?? 0) : 0;
    this.#counts.duplicates += duplicates;
    if (identity === "rolled_back") {
      this.#counts.rollbacks++;
      const { firstId, lastId } = lease;
      this.#noteProblem("rolled_back", `the destination already had events ${firstId} to ${lastId}`);
      log.logRolledBack(lease, duplicates);
    } else if (duplicates > 0 && lease.sends === 1 && identity === "same")
      log.logDuplicates(lease, duplicates);
    return identity !== "same";
  }

  /** An accepted batch shows which size the destination takes, and how quickly it responds. */
  #learnLimits({ count, sizeBytes, durationMs }: Sent, inFlight: number): void {
    this.#batchSize.accepted(sizeBytes);
    if (count > 0 && this.breaker.failures === 0) this.concurrency.succeeded(durationMs, inFlight);
  }

  #accepted(count: number): void {
    this.#delivered += count;
    this.#poisonGuard.delivered(count);
    this.#lastSuccessAtMs = Date.now();
  }

  /** The rejected events are known: they become dead letters as far as the guard allows. */
  #partial(
    lease: Lease,
    { rejected, undelivered, failure }: PartiallyAccepted,
    acceptedCount: number,
  ): Settlement {
    if (acceptedCount > 0) this.#accepted(acceptedCount);
    const dead = rejected.filter(() => this.#poisonGuard.spend());
    const held = rejected.slice(dead.length);
    const kept = [...undelivered, ...held.map(({ id }) => id)].sort((a, b) => a - b);
    for (const event of dead) {
      this.#noteProblem("rejected", describe(event));
      log.logDeadLetter({ ...lease, firstId: event.id }, event.status, event.response);
    }
    if (held[0] !== undefined) this.#hold(lease, held[0]);
    else if (failure !== undefined) this.#failed(lease, failure);
    else this.#available();
    return { kind: "each", dead, kept };
  }

  /** The batch is split in halves down to the one event at fault, which becomes a dead letter unless the queue is held. */
  #rejected(lease: Lease, outcome: Rejected): Settlement {
    const isOneEvent = lease.firstId === lease.lastId;
    const { status, response } = outcome;
    if (this.isHeld) {
      // Like an outage: the rejected events wait, and others are tried.
      this.#hold(lease, outcome);
      return isOneEvent ? { kind: "release", wasReceived: false } : { kind: "split" };
    }
    this.#available(); // the destination works and rejects these events
    this.#noteProblem("rejected", describe(outcome));
    if (!isOneEvent) {
      log.logSplit(lease, status, response);
      return { kind: "split" };
    }
    this.#poisonGuard.spend();
    log.logDeadLetter(lease, status, response);
    return { kind: "each", dead: [{ id: lease.firstId, status, response }], kept: [] };
  }

  #hold(lease: Lease, rejection: Pick<Rejected, "status" | "response">): void {
    this.#noteProblem("held", describe(rejection));
    log.logHeld(lease, rejection.status, rejection.response, this.#open());
  }

  #learnSize(sizeBytes: number): void {
    if (this.#batchSize.tooLarge(sizeBytes)) log.logShrunk(sizeBytes, this.#batchSize.bytes());
  }

  /** The destination works. The log says when a failure has ended. */
  #available(): void {
    const wasFailing = this.breaker.failures > 0;
    const failingForMs = this.breaker.failingForMs();
    this.breaker.succeeded();
    if (wasFailing && this.breaker.failures === 0) log.logRecovered(failingForMs);
  }

  #failed(lease: Lease, failure: Unavailable | Misconfigured): void {
    this.#noteProblem(failure.kind, failure.reason);
    if (failure.kind === "misconfigured") log.logMisconfigured(lease, failure.reason, this.#open());
    else log.logUnavailable(lease, failure.reason, this.#open(failure.retryAfterMs));
  }

  /** Opens the breaker. Returns for how long, in milliseconds. */
  #open(retryAfterMs?: number): number {
    this.concurrency.failed();
    return this.breaker.failed(retryAfterMs);
  }

  #noteProblem(kind: PublisherProblem["kind"], message: string): void {
    this.#lastProblem = { atMs: Date.now(), kind, message };
  }
}

function notAccepted({ accepted: _, ...others }: PublisherCounts["requests"]): number {
  return Object.values(others).reduce((sum, count) => sum + count, 0);
}

/** Whether the destination may have received the events. */
function mayHaveArrived({ kind, isTransport, isUnsent }: Unavailable | Misconfigured): boolean {
  return isUnsent !== true && (kind === "unavailable" || isTransport === true);
}

function describe({ status, response }: Pick<Rejected, "status" | "response">): string {
  return `the destination responded with ${status}: ${response}`;
}
