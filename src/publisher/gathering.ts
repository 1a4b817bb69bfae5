/**
 * The batch that is being gathered: how far behind the cursor it reaches, and whether it should go.
 *
 * @module
 */
import type { Lease, LeaseTable, ReclaimOptions } from "../store/lease_table.ts";
import { Batch, type SumRange } from "./batch.ts";
import type { BatchSize } from "./batch_size.ts";

/** When a batch goes. */
export interface BatchLimits {
  /** How large a batch without an event counts as, in bytes. */
  readonly emptyBytes: number;
  /** At this size. */
  readonly size: BatchSize;
  /** Or when its first event has waited this long, in milliseconds on a monotonic clock. */
  readonly maxAgeMs: number;
  /** Or when nothing else is on its way, and the batch before went this long ago, in milliseconds. */
  readonly minIntervalMs: number;
}

/** Gathers waiting events into a batch, by their sizes only, and claims it when it is time. */
export class Gathering {
  readonly #leases: LeaseTable;
  readonly #limits: BatchLimits;
  #claimedId = 0;
  /** Where the batch begins: next to the cursor, unless the rows there were deleted by hand. */
  #firstId = 0;
  #batch: Batch;
  #isFull = false;
  #openedAtMs = 0;
  #claimedAtMs = Number.NEGATIVE_INFINITY;

  constructor(leases: LeaseTable, limits: BatchLimits) {
    this.#leases = leases;
    this.#limits = limits;
    this.#batch = this.#newBatch();
  }

  /** Takes in what was put since the last look. @param nowMs a monotonic time */
  look(nowMs: number = performance.now()): void {
    const claimedId = this.#leases.claimedId();
    const hasShrunk = this.#batch.sizeBytes > this.#limits.size.bytes(nowMs); // a 413 came meanwhile
    if (claimedId !== this.#claimedId || hasShrunk) this.#startAfter(claimedId); // we, or another publisher, claimed
    if (this.#isFull) return;
    if (this.#batch.count === 0) {
      this.#firstId = this.#leases.firstIdAfter(claimedId) ?? claimedId + 1;
      this.#openedAtMs = nowMs;
    }
    const fromId = Math.max(this.#firstId, this.#batch.lastId + 1);
    this.#isFull = this.#batch.fill(this.#sum, fromId, Number.MAX_SAFE_INTEGER);
  }

  /**
   * How long until the batch should go, in milliseconds: 0 is now, Infinity means there is nothing. An event
   * that comes alone goes at once; as more come, or the collector takes its time, they gather.
   *
   * @param isBusy whether another batch is on its way @param nowMs a monotonic time
   */
  dueInMs(isBusy: boolean, nowMs: number = performance.now()): number {
    if (this.#isFull) return 0;
    if (this.#batch.count === 0) return Number.POSITIVE_INFINITY;
    const dueAtMs = this.#openedAtMs + this.#limits.maxAgeMs;
    const freeAtMs = isBusy ? dueAtMs : this.#claimedAtMs + this.#limits.minIntervalMs;
    return Math.max(0, Math.min(dueAtMs, freeAtMs) - nowMs);
  }

  /** Claims the batch. Undefined: another publisher was faster; look again. @param nowMs a monotonic time */
  claim(nowMs: number = performance.now()): Lease | undefined {
    this.#claimedAtMs = nowMs;
    return this.#leases.claim(this.#claimedId, this.#batch.lastId);
  }

  /**
   * Claims the oldest lease that was given back or whose publisher died. One that would not fit
   * in a batch of today's limits is cut first.
   */
  reclaim(options: ReclaimOptions = {}): Lease | undefined {
    const lease = this.#leases.claimExpired(options);
    if (lease === undefined) return undefined;
    const batch = this.#newBatch();
    const isCut = batch.fill(this.#sum, lease.firstId, lease.lastId) && batch.lastId < lease.lastId;
    if (!isCut) return lease;
    this.#leases.split(lease, batch.lastId);
    return this.#leases.claimExpired(options);
  }

  readonly #sum: SumRange = (firstId, lastId) => this.#leases.sum(firstId, lastId);

  #startAfter(claimedId: number): void {
    this.#claimedId = claimedId;
    this.#batch = this.#newBatch();
    this.#isFull = false;
  }

  #newBatch(): Batch {
    return new Batch(this.#limits.emptyBytes, this.#limits.size.bytes());
  }
}
