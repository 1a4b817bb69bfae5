/** The deliveries in flight: each lease is sent and then settled. */
import type { EventOutcomes, Lease, LeaseTable } from "../storage/leases.ts";
import type { StorageBreaker } from "./circuit_breaker.ts";
import type { PublisherCounts } from "./counts.ts";
import type { DeliveryPolicy, Identity, Settlement } from "./delivery_policy.ts";
import { callHook, type PublisherHooks } from "./hooks.ts";
import * as log from "./log.ts";
import type { Maintenance } from "./maintenance.ts";
import type { Sender, Sent } from "./sender.ts";
import type { WakeableSleep } from "./waiting.ts";

/** Dependencies of {@link Deliveries}. */
export interface DeliveriesDependencies {
  readonly sender: Sender;
  readonly policy: DeliveryPolicy;
  readonly settler: Settler;
  readonly maintenance: Maintenance;
  readonly storage: StorageBreaker;
  readonly counts: PublisherCounts;
  /** The publisher's sleep. It ends when a delivery ends. */
  readonly sleep: WakeableSleep;
  /** The queue's name. */
  readonly queue: string;
  /** The subscription's name. */
  readonly subscription: string;
  readonly hooks: PublisherHooks;
}

/** Delivers leases, several at a time. */
export class Deliveries {
  readonly #dependencies: DeliveriesDependencies;
  readonly #inFlight = new Map<number, Promise<void>>();
  readonly #abort = new AbortController();

  constructor(dependencies: DeliveriesDependencies) {
    this.#dependencies = dependencies;
  }

  /** The deliveries in flight, by lease id. */
  get inFlight(): ReadonlyMap<number, Promise<void>> {
    return this.#inFlight;
  }

  /** Whether another delivery may start. */
  get hasRoom(): boolean {
    return this.#inFlight.size < this.#dependencies.policy.concurrency.count;
  }

  /** Starts a delivery. */
  start(lease: Lease): void {
    const { counts, sleep } = this.#dependencies;
    counts.claims[lease.attempts === 1 ? "first" : "again"]++;
    const delivery = this.#deliver(lease, this.#abort.signal).finally(() => {
      this.#inFlight.delete(lease.id);
      sleep.wake();
    });
    this.#inFlight.set(lease.id, delivery);
  }

  /** Resolves when all deliveries have ended. After the grace time the rest is aborted and their leases are released. */
  async drain(graceMs: number): Promise<void> {
    log.logStopping(this.#inFlight.size, graceMs);
    const timer = setTimeout(() => this.#abort.abort(), graceMs);
    await Promise.all(this.#inFlight.values());
    clearTimeout(timer);
  }

  async #deliver(lease: Lease, stop: AbortSignal): Promise<void> {
    const { sender, policy, settler, maintenance, storage } = this.#dependencies;
    try {
      const sent = await sender.send(lease, stop);
      const identity = await settler.identify(lease, sent, stop);
      const settlement = policy.decide(lease, sent, { identity, inFlight: this.#inFlight.size });
      const isOurs = await settler.settle(lease, settlement, stop);
      if (isOurs) this.#callHooks(lease, sent, settlement);
      maintenance.keepUp(sent.sizeBytes);
    } catch (error) {
      storage.failed(error); // the lease expires
    }
  }

  /** Calls the service's hooks with what was settled. */
  #callHooks(lease: Lease, sent: Sent, settlement: Settlement): void {
    const { queue, subscription, hooks } = this.#dependencies;
    const origin = { queue, subscription };
    const { firstId, lastId, attempts } = lease;
    const { acceptedCount: count, sizeBytes, durationMs } = sent;
    const dead = settlement.kind === "each" ? settlement.dead : [];
    for (const { id, status, response } of dead)
      callHook(hooks, "onDeadLetter", { ...origin, id, status, response });
    if (count === 0 || settlement.kind === "release") return;
    callHook(hooks, "onDelivered", { ...origin, firstId, lastId, count, attempts, sizeBytes, durationMs });
  }
}

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
