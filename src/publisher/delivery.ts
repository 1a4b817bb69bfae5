/**
 * The deliveries in flight: each lease is sent and then settled.
 *
 * @module
 */

import type { Lease } from "../storage/leases.ts";
import type { PublisherCounts } from "./counts.ts";
import type { DeliveryPolicy } from "./delivery_policy.ts";
import { callHook, type PublisherHooks } from "./hooks.ts";
import * as log from "./log.ts";
import type { Maintenance } from "./maintenance.ts";
import type { Sender, Sent } from "./sender.ts";
import type { Settlement, Settler } from "./settler.ts";
import type { StorageBreaker } from "./storage_breaker.ts";
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
