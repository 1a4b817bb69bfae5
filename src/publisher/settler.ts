/**
 * Settling a lease after its delivery.
 *
 * @module
 */

import type { EventOutcomes, Lease, LeaseTable } from "../storage/leases.ts";
import type { PublisherCounts } from "./counts.ts";
import * as log from "./log.ts";
import type { Sent } from "./sender.ts";
import type { StorageBreaker } from "./storage_breaker.ts";

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

/** Dependencies of a {@link Settler}. */
export interface SettlerDependencies {
  readonly leases: LeaseTable;
  readonly storage: StorageBreaker;
  readonly counts: PublisherCounts;
}

/** Settles leases. It retries until the queue file works. */
export class Settler {
  readonly #dependencies: SettlerDependencies;

  constructor(dependencies: SettlerDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Settles a lease. Resolves with false if another publisher has claimed it.
   *
   * @param stop when it aborts, there is one last try
   * @throws {EventStorageError} the last try fails
   */
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
   * Checks which events the destination knows by the ids of a batch. If it had some of them already, they may be other
   * events, which the queue file held before it was rolled back. That is so for a batch that was never sent before, and
   * for all batches in flight under the same UUID. Of a batch that was sent before, duplicates are normal, and of one that
   * another subscription sent to the same destination, as many as that one has settled.
   *
   * @throws {EventStorageError} as {@link settle}
   */
  async identify(lease: Lease, { outcome, uuid, acceptedCount }: Sent, stop: AbortSignal): Promise<Identity> {
    const duplicates = "duplicates" in outcome ? (outcome.duplicates ?? 0) : 0;
    if (duplicates === 0) return "same";
    const { leases, storage } = this.#dependencies;
    const notAccepted = lease.lastId - lease.firstId + 1 - acceptedCount; // each of these may be one that the others settled
    return await storage.retrySettle(() => {
      const isUnexpected = lease.sends === 1 && duplicates > leases.settledByOthers(lease) - notAccepted;
      if (isUnexpected && leases.epochs.rolledBack(lease.firstId, uuid)) return "rolled_back";
      return leases.epochs.uuidAt(lease.firstId) === uuid ? "same" : "renamed";
    }, stop);
  }

  /** Returns false if another publisher has claimed the lease. @throws {EventStorageError} */
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
