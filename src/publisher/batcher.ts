/**
 * The batch that is being gathered: how far behind the cursor it reaches, and whether it should go.
 *
 * @module
 */

import type { Lease, LeaseTable, ReclaimOptions } from "../storage/leases.ts";

/** The smallest batch size that a collector's 413 can teach, in bytes: below, requests cost more than they carry. */
export const MIN_LEARNT_BATCH_BYTES = 16_384;

/** In what time a learnt batch size doubles again, in milliseconds: ten minutes. */
export const BATCH_REGROWTH_MS = 600_000;

/** When a batch goes. */
export interface BatchLimits {
  /** How large a batch without an event counts as, in bytes. */
  readonly emptyBytes: number;
  /** How much an event adds besides its own size, in bytes. Default: 1. */
  readonly eventOverheadBytes?: number | undefined;
  /** At which count of events it is full. Default: any. */
  readonly maxEvents?: number | undefined;
  /** At this size. */
  readonly size: BatchSize;
  /** Or when its first event has waited this long, in milliseconds on a monotonic clock. */
  readonly maxAgeMs: number;
  /** Or when nothing else is on its way, and the batch before went this long ago, in milliseconds. */
  readonly minIntervalMs: number;
}

/** Gathers waiting events into a batch, by their sizes only, and claims it when it is time. */
export class Batcher {
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
    const lastId = this.#leases.epochs.lastIdFrom(this.#firstId); // the events of a request have one UUID
    this.#isFull = this.#batch.fill(this.#sum, fromId, lastId) || this.#batch.lastId === lastId;
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
    this.#leases.split(lease, batch.lastId, false);
    return this.#leases.claimExpired(options);
  }

  readonly #sum: SumRange = (firstId, lastId) => this.#leases.sum(firstId, lastId);

  #startAfter(claimedId: number): void {
    this.#claimedId = claimedId;
    this.#batch = this.#newBatch();
    this.#isFull = false;
  }

  #newBatch(): Batch {
    return new Batch(this.#limits.emptyBytes, this.#limits.size.bytes(), this.#limits);
  }
}

/** How many events a range of ids has, and how large they are together. */
export interface RangeSum {
  readonly count: number;
  /** Without commas. */
  readonly bytes: number;
  /** The highest id that an event of the range has; 0 where there is none. */
  readonly lastId: number;
}

/** Sums up the events from one id to another, both included. */
export type SumRange = (firstId: number, lastId: number) => RangeSum;

/** How many ids the first guess takes: at 300 bytes, an event has room for a few times more. */
const FIRST_GUESS = 256;

/** The size of a batch that is being gathered. It holds no events: they are read once, when it is claimed. */
export class Batch {
  /** How many events are in it. */
  count = 0;
  /** The id of the last one; 0: there is none. */
  lastId = 0;
  /** Its size, in bytes, as the original counts: one for the comma of each event, unless a destination adds more. */
  sizeBytes: number;
  readonly #maxBytes: number;
  readonly #maxEvents: number;
  readonly #eventOverheadBytes: number;

  /** @param emptyBytes how large it counts as without an event @param maxBytes at which size it is full */
  constructor(
    emptyBytes: number,
    maxBytes: number,
    { maxEvents, eventOverheadBytes }: Pick<BatchLimits, "maxEvents" | "eventOverheadBytes"> = {},
  ) {
    this.sizeBytes = emptyBytes;
    this.#maxBytes = maxBytes;
    this.#maxEvents = maxEvents ?? Number.POSITIVE_INFINITY;
    this.#eventOverheadBytes = eventOverheadBytes ?? 1;
  }

  /** Adds events by their sum. False: they do not all fit, and none is added. */
  add({ count, bytes, lastId }: RangeSum): boolean {
    const sizeBytes = this.sizeBytes + bytes + count * this.#eventOverheadBytes;
    if (sizeBytes > this.#maxBytes || this.count + count > this.#maxEvents) return false;
    this.sizeBytes = sizeBytes;
    this.count += count;
    this.lastId = lastId;
    return true;
  }

  /**
   * Adds events in order until one does not fit, and tells whether that happened. An event that
   * is too large for any batch travels alone: the collector decides, and the queue never jams.
   *
   * Goes by sums of as many events as should fit, and of half as many where they do not: 0.08 us an event,
   * where one after the other took 0.22.
   */
  fill(sum: SumRange, firstId: number, lastId: number): boolean {
    let nextId = firstId;
    let ids = this.#guess();
    while (nextId <= lastId) {
      const range = sum(nextId, Math.min(nextId + ids - 1, lastId));
      if (range.count === 0) return false;
      if (this.add(range)) {
        nextId = range.lastId + 1;
        ids = this.#guess();
      } else if (ids > 1) {
        ids = Math.floor(ids / 2);
      } else {
        if (this.count === 0) [this.count, this.lastId] = [1, range.lastId];
        return true;
      }
    }
    return false;
  }

  /** How many more events there is room for, if they are as large as those before. */
  #guess(): number {
    if (this.count === 0) return FIRST_GUESS;
    return Math.max(1, Math.floor(((this.#maxBytes - this.sizeBytes) * this.count) / this.sizeBytes));
  }
}

/**
 * The size at which a batch is full. Each batch that is too large for the collector (413) halves it; then it
 * grows again, doubling in ten minutes, since the collector may have been given a higher limit: a collector
 * that stays as it is rejects about one batch in that time.
 */
export class BatchSize {
  readonly #maxBytes: number;
  #learntBytes: number;
  #learntAtMs = 0;
  /** The largest batch that the collector took, as far as that still holds. */
  #takenBytes = 0;

  /** @param maxBytes the configured size, in bytes before compression */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#learntBytes = maxBytes;
  }

  /** The size at which a batch is full now, in bytes. @param nowMs a monotonic time */
  bytes(nowMs: number = performance.now()): number {
    if (this.#learntBytes === this.#maxBytes) return this.#maxBytes;
    const grownBytes = this.#learntBytes * 2 ** ((nowMs - this.#learntAtMs) / BATCH_REGROWTH_MS);
    return Math.min(this.#maxBytes, Math.floor(grownBytes));
  }

  /** Learns that the collector takes batches of this size. */
  accepted(sizeBytes: number): void {
    this.#takenBytes = Math.max(this.#takenBytes, sizeBytes);
  }

  /**
   * Learns that a batch was too large, unless the collector took one as large before: then it is one of the
   * events that it finds too large, until a second batch is rejected. Those that were in flight beside it, of the old size, teach nothing new.
   *
   * @param sizeBytes the size of the batch
   * @param nowMs a monotonic time
   * @returns whether batches are smaller from now on
   */
  tooLarge(sizeBytes: number, nowMs: number = performance.now()): boolean {
    if (sizeBytes <= this.#takenBytes) {
      this.#takenBytes = Math.floor(sizeBytes / 2);
      return false;
    }
    const learntBytes = Math.max(MIN_LEARNT_BATCH_BYTES, Math.floor(sizeBytes / 2));
    if (learntBytes >= this.bytes(nowMs)) return false;
    this.#learntBytes = learntBytes;
    this.#learntAtMs = nowMs;
    return true;
  }
}
