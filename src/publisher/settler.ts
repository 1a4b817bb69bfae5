/**
 * What is done with a lease when its delivery has ended.
 *
 * @module
 */

import type { EventOutcomes, Lease, LeaseTable } from "../storage/leases.ts";
import type { PublisherCounts } from "./counts.ts";
import * as log from "./log.ts";
import type { Sent } from "./sender.ts";
import type { StorageBreaker } from "./storage_breaker.ts";

/** What is to be done with a lease: data, so that it can be carried out again after the queue's file has failed. */
export type Settlement =
  /** All its events are delivered. */
  | { readonly kind: "ack" }
  /** They are sent again. `wasReceived`: whether the destination may have them. */
  | { readonly kind: "release"; readonly wasReceived: boolean }
  /** They are sent again, in two halves. */
  | { readonly kind: "split" }
  /** Some events are dead letters, some are sent again, the others are delivered. */
  | ({ readonly kind: "each" } & EventOutcomes);

/**
 * Which events a destination means by the ids of a batch: the `same` as ours; others, so that ours were `renamed`
 * meanwhile; or others, and this batch is the first to show it: the queue's file was `rolled_back`.
 */
export type Identity = "same" | "renamed" | "rolled_back";

/** What a settler works with. */
export interface SettlerDependencies {
  readonly leases: LeaseTable;
  readonly storage: StorageBreaker;
  readonly counts: PublisherCounts;
}

/** Settles leases, again and again until the queue's file allows it. */
export class Settler {
  readonly #dependencies: SettlerDependencies;

  constructor(dependencies: SettlerDependencies) {
    this.#dependencies = dependencies;
  }

  /** Carries out a settlement. Resolves with false when another publisher has the lease. @param stop when it aborts, there is one more try @throws {EventStorageError} that fails, too */
  async settle(lease: Lease, settlement: Settlement, stop: AbortSignal): Promise<boolean> {
    const { storage, counts } = this.#dependencies;
    const isOurs = await storage.retrySettle(() => this.#carryOut(lease, settlement), stop);
    storage.succeeded();
    if (!isOurs) {
      counts.lostLeases++;
      log.logLeaseLost(lease);
    }
    return isOurs;
  }

  /**
   * Which events the destination knows under the ids of a batch. Where it had some already, they may be those that the
   * queue's file held before it was rolled back. That is so of a batch that nobody sent before, and of all that were in
   * flight under the same UUID by then; a batch that was sent before is known for that reason.
   *
   * @throws {EventStorageError} as {@link settle}
   */
  async identify(lease: Lease, { outcome, uuid }: Sent, stop: AbortSignal): Promise<Identity> {
    if (!("duplicates" in outcome) || !outcome.duplicates) return "same";
    const { leases, storage } = this.#dependencies;
    return await storage.retrySettle(() => {
      if (lease.sends === 1 && leases.epochs.rolledBack(lease.firstId, uuid)) return "rolled_back";
      return leases.epochs.uuidAt(lease.firstId) === uuid ? "same" : "renamed";
    }, stop);
  }

  /** False: another publisher has the lease. @throws {EventStorageError} */
  #carryOut(lease: Lease, settlement: Settlement): boolean | Promise<boolean> {
    const { leases } = this.#dependencies;
    switch (settlement.kind) {
      case "ack":
        return leases.ack(lease);
      case "release":
        return leases.release(lease, settlement.wasReceived);
      case "split":
        return this.#split(lease);
      case "each":
        return this.#settleEach(lease, settlement);
    }
  }

  #split(lease: Lease): boolean {
    const middleId = Math.floor((lease.firstId + lease.lastId) / 2);
    const isOurs = this.#dependencies.leases.split(lease, middleId, false);
    if (isOurs) this.#dependencies.counts.splits++;
    return isOurs;
  }

  #settleEach(lease: Lease, outcomes: EventOutcomes): boolean {
    const dropped = this.#dependencies.leases.settle(lease, outcomes);
    if (dropped === undefined) return false;
    if (dropped > 0) log.logDropped(dropped);
    this.#dependencies.counts.deadLettered += outcomes.dead.length;
    return true;
  }
}
