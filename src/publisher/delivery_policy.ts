/**
 * What an outcome means: for the lease, and for how the next batches are sent.
 *
 * @module
 */

import type { Lease } from "../storage/leases.ts";
import type { BatchSize } from "./batcher.ts";
import { CircuitBreaker } from "./circuit_breaker.ts";
import { ConcurrencyLimit } from "./concurrency_limit.ts";
import type { PublisherCounts } from "./counts.ts";
import type { Misconfigured, PartiallyAccepted, Rejected, Unavailable } from "./destinations/destination.ts";
import type { PublisherProblem, PublisherStatus } from "./health.ts";
import * as log from "./log.ts";
import type { PoisonGuard } from "./poison_guard.ts";
import type { Sent } from "./sender.ts";
import type { Identity, Settlement } from "./settler.ts";

/** What a policy works with. */
export interface DeliveryPolicyDependencies {
  /** What a 413 teaches. */
  readonly batchSize: BatchSize;
  /** Which rejected events may become dead letters. */
  readonly poisonGuard: PoisonGuard;
  /** How many batches may be in flight at once, at most. */
  readonly maxConcurrency: number;
  readonly counts: PublisherCounts;
}

/** Decides what is done with each lease, and learns what the destination takes. It touches no file. */
export class DeliveryPolicy {
  /** Whether the collector may be asked now. */
  readonly breaker: CircuitBreaker = new CircuitBreaker();
  /** How many batches may be in flight now. */
  readonly concurrency: ConcurrencyLimit;
  readonly #batchSize: BatchSize;
  readonly #poisonGuard: PoisonGuard;
  readonly #counts: PublisherCounts;
  #delivered = 0;
  #failedRequests = 0;
  #lastSuccessAtMs: number | undefined;
  #lastProblem: PublisherProblem | undefined;

  constructor({ batchSize, poisonGuard, maxConcurrency, counts }: DeliveryPolicyDependencies) {
    this.concurrency = new ConcurrencyLimit(maxConcurrency);
    this.#batchSize = batchSize;
    this.#poisonGuard = poisonGuard;
    this.#counts = counts;
  }

  /** Whether the collector rejects too many events for each to be at fault. */
  get isHeld(): boolean {
    return this.#poisonGuard.isSpent;
  }

  /** What a status says of the deliveries that have ended. */
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
      failedRequests: this.#failedRequests,
      consecutiveFailures: this.breaker.failures,
      failingForMs: this.breaker.failingForMs(),
      lastSuccessAtMs: this.#lastSuccessAtMs,
      lastProblem: this.#lastProblem,
    };
  }

  /**
   * Notes the outcome of a delivery, and returns what is to be done with its lease.
   *
   * @param inFlight how many batches were in flight, this one included
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
        this.#acceptedAll(sent, inFlight);
        this.#answered();
        this.#accepted(sent.acceptedCount);
        return { kind: "ack" };
      case "partial":
        if (outcome.failure === undefined) this.#acceptedAll(sent, inFlight);
        return this.#partial(lease, outcome, sent.acceptedCount);
      case "rejected":
        if (outcome.status === 413 && count > 1) this.#learnSize(sizeBytes);
        return this.#rejected(lease, outcome);
      default:
        this.#failed(lease, outcome);
        return { kind: "release", wasReceived: mayHaveArrived(outcome) };
    }
  }

  /** Whether the events must be sent again under another UUID, since the destination has other events under their ids. */
  #mustResend(lease: Lease, { outcome }: Sent, identity: Identity): boolean {
    const duplicates = "duplicates" in outcome ? (outcome.duplicates ?? 0) : 0;
    this.#counts.duplicates += duplicates;
    if (identity === "rolled_back") {
      this.#counts.rollbacks++;
      const { firstId, lastId } = lease;
      this.#noteProblem("rolled_back", `the destination already had events ${firstId} to ${lastId}`);
      log.logRolledBack(lease, duplicates);
    } else if (duplicates > 0 && lease.sends === 1 && identity === "same") log.logKnown(lease, duplicates);
    return identity !== "same";
  }

  /** What the collector takes, and how quickly, says how large batches may be and how many are in flight. */
  #acceptedAll({ count, sizeBytes, durationMs }: Sent, inFlight: number): void {
    this.#batchSize.accepted(sizeBytes);
    if (count > 0 && this.breaker.failures === 0) this.concurrency.succeeded(durationMs, inFlight);
  }

  #accepted(count: number): void {
    this.#delivered += count;
    this.#poisonGuard.delivered(count);
    this.#lastSuccessAtMs = Date.now();
  }

  /** The events at fault are known: they become dead letters as far as the guard allows, and the others need not wait. */
  #partial(
    lease: Lease,
    { rejected, undelivered, failure }: PartiallyAccepted,
    acceptedCount: number,
  ): Settlement {
    if (acceptedCount > 0) this.#accepted(acceptedCount);
    const dead = rejected.filter(() => this.#poisonGuard.spend());
    const [held] = rejected.slice(dead.length);
    const kept = [...undelivered, ...rejected.slice(dead.length).map(({ id }) => id)].sort((a, b) => a - b);
    for (const event of dead) {
      this.#noteProblem("rejected", describe(event));
      log.logDeadLetter({ ...lease, firstId: event.id }, event.status, event.response);
    }
    if (held !== undefined) this.#hold(lease, held);
    else if (failure !== undefined) this.#failed(lease, failure);
    else this.#answered();
    return { kind: "each", dead, kept };
  }

  /** The batch is halved, down to the one event at fault, which becomes a dead letter unless too many do. */
  #rejected(lease: Lease, outcome: Rejected): Settlement {
    const isOneEvent = lease.firstId === lease.lastId;
    const { status, response } = outcome;
    if (this.isHeld) {
      // An outage, as far as these events go: what was rejected waits, and something else is tried.
      this.#hold(lease, outcome);
      return isOneEvent ? { kind: "release", wasReceived: false } : { kind: "split" };
    }
    this.#answered(); // the collector works; it does not like these events
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

  /** The collector works. A log that ends with its failure would have people look for one that is over. */
  #answered(): void {
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
    this.#failedRequests++;
    this.concurrency.failed();
    return this.breaker.failed(retryAfterMs);
  }

  #noteProblem(kind: PublisherProblem["kind"], message: string): void {
    this.#lastProblem = { atMs: Date.now(), kind, message };
  }
}

/** Whether the destination may have events that it did not accept. */
function mayHaveArrived(failure: Unavailable | Misconfigured): boolean {
  return failure.kind === "unavailable" && failure.isUnsent !== true;
}

function describe({ status, response }: Pick<Rejected, "status" | "response">): string {
  return `the collector answered ${status}: ${response}`;
}
