/** Batches: which events go into the next one, when it is full, and when it is due. */
import type { ClaimState, Lease, LeaseTable, ReclaimOptions } from "../storage/leases.ts";

/** The smallest batch size that a 413 can set, in bytes: smaller requests cost more than they carry. */
export const MIN_LEARNT_BATCH_BYTES = 16_384;

/** How long after a 413 the reduced batch size doubles again, in milliseconds: ten minutes. */
export const BATCH_REGROWTH_MS = 600_000;

/** When a batch is sent. */
export interface BatchLimits {
  /** The size of an empty batch, in bytes. */
  readonly emptyBytes: number;
  /** How much an event adds to its own size, in bytes. Default: 1. */
  readonly eventOverheadBytes?: number | undefined;
  /** At which count of events it is full. Default: any. */
  readonly maxEvents?: number | undefined;
  /** At which size it is full. */
  readonly size: BatchSize;
  /** How long its first event waits at most, in milliseconds on a monotonic clock. */
  readonly maxAgeMs: number;
  /** The shortest time between two batches when none is in flight, in milliseconds. */
  readonly minIntervalMs: number;
}

/** Collects waiting events into a batch, by their sizes only, and claims the batch when it is due. */
export class Batcher {
  readonly #leases: LeaseTable;
  readonly #limits: BatchLimits;
  #claimedId = 0;
  /** The id of the first event: the next after the cursor, unless somebody deleted rows there. */
  #firstId = 0;
  #batch: Batch;
  #isFull = false;
  #openedAtMs = 0;
  #claimedAtMs = Number.NEGATIVE_INFINITY;
  /** When our last claim took all events; undefined: it left some, or the file was read since. */
  #emptyAtMs: number | undefined;

  constructor(leases: LeaseTable, limits: BatchLimits) {
    this.#leases = leases;
    this.#limits = limits;
    this.#batch = this.#newBatch();
  }

  /** Adds the events that were put since the last call. @param nowMs a monotonic time */
  refresh(nowMs: number = performance.now(), state: ClaimState = this.#leases.state()): void {
    const { claimedId, firstId, newestId, epochFirstId } = state;
    const emptyAtMs = this.#emptyAtMs;
    this.#emptyAtMs = undefined;
    const hasShrunk = this.#batch.sizeBytes > this.#limits.size.bytes(nowMs); // after a 413
    if (claimedId !== this.#claimedId || hasShrunk) this.#startAfter(claimedId); // we or another publisher claimed
    if (this.#isFull || firstId === null || newestId === null) return;
    if (this.#batch.count === 0) {
      this.#firstId = firstId;
      this.#openedAtMs = emptyAtMs ?? nowMs;
    }
    const fromId = Math.max(this.#firstId, this.#batch.lastId + 1);
    // All events of a request have the same UUID.
    const isCurrent = this.#firstId >= epochFirstId;
    const endId = isCurrent ? Number.MAX_SAFE_INTEGER : this.#leases.epochs.lastIdFrom(this.#firstId);
    this.#isFull =
      this.#batch.fill(this.#sum, fromId, Math.min(endId, newestId)) || this.#batch.lastId === endId;
  }

  /** For how long after a {@link claim} the next batch is not due, unless it fills up, in milliseconds; 0: more events wait. */
  get restMs(): number {
    return this.#isFull ? 0 : Math.min(this.#limits.minIntervalMs, this.#limits.maxAgeMs);
  }

  /**
   * How long until the batch is due, in milliseconds: 0 is now, Infinity means it is empty. A single event is due at
   * once. Events collect while more come or the collector is busy.
   *
   * @param isBusy whether another batch is in flight @param nowMs a monotonic time
   */
  dueInMs(isBusy: boolean, nowMs: number = performance.now()): number {
    if (this.#isFull) return 0;
    if (this.#batch.count === 0) return Number.POSITIVE_INFINITY;
    const dueAtMs = this.#openedAtMs + this.#limits.maxAgeMs;
    const freeAtMs = isBusy ? dueAtMs : this.#claimedAtMs + this.#limits.minIntervalMs;
    return Math.max(0, Math.min(dueAtMs, freeAtMs) - nowMs);
  }

  /** Claims the batch. Undefined: another publisher was faster; refresh it. @param nowMs a monotonic time */
  claim(nowMs: number = performance.now()): Lease | undefined {
    this.#claimedAtMs = nowMs;
    const lease = this.#leases.claim(this.#claimedId, this.#batch.lastId);
    if (lease !== undefined && !this.#isFull) this.#emptyAtMs = nowMs;
    return lease;
  }

  /**
   * Claims the oldest lease that was released or whose publisher died. A lease that is larger than today's batch size,
   * or whose events have several UUIDs, is split first.
   */
  reclaim(options: ReclaimOptions = {}): Lease | undefined {
    const lease = this.#leases.claimExpired(options);
    if (lease === undefined) return undefined;
    const batch = this.#newBatch();
    const endId = Math.min(lease.lastId, this.#leases.epochs.lastIdFrom(lease.firstId));
    const lastId = batch.fill(this.#sum, lease.firstId, endId) ? batch.lastId : endId;
    if (lastId === lease.lastId) return lease;
    this.#leases.split(lease, lastId, false);
    return this.#leases.claimExpired(options);
  }

  /** Claims the next batch of a replay. Undefined: there is none. */
  claimReplay(): Lease | undefined {
    const range = this.#leases.replayRange();
    if (range === undefined) return undefined;
    const batch = this.#newBatch();
    const lastId = Math.min(range.lastId, this.#leases.epochs.lastIdFrom(range.firstId));
    batch.fill(this.#sum, range.firstId, lastId);
    return this.#leases.claimReplay(range, batch.lastId);
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

/** The count and the size of the events in a range of ids. */
export interface RangeSum {
  readonly count: number;
  /** Their size without commas. */
  readonly bytes: number;
  /** The highest id of an event in the range; 0: there is none. */
  readonly lastId: number;
}

/** Sums the events from one id to another, both included. */
export type SumRange = (firstId: number, lastId: number) => RangeSum;

/** How many ids are tried first: a batch has room for several times as many events of 300 bytes. */
const FIRST_GUESS = 256;

/** How much of the room that is left is tried next: rarely too much, and then it is summed once. */
const GUESSED_SHARE = 0.97;

/** A batch that is being filled: the count and size of its events. Their bodies are read once, after the claim. */
export class Batch {
  /** How many events it has. */
  count = 0;
  /** The id of its last event; 0: it is empty. */
  lastId = 0;
  /** Its size in bytes, counted as baseplate.py does: with one byte for the comma of each event, or what the destination adds. */
  sizeBytes: number;
  readonly #maxBytes: number;
  readonly #maxEvents: number;
  readonly #eventOverheadBytes: number;

  /** @param emptyBytes its size without an event @param maxBytes at which size it is full */
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

  /** Adds a range of events. False: they do not all fit, and none is added. */
  add({ count, bytes, lastId }: RangeSum): boolean {
    const sizeBytes = this.sizeBytes + bytes + count * this.#eventOverheadBytes;
    if (sizeBytes > this.#maxBytes || this.count + count > this.#maxEvents) return false;
    this.sizeBytes = sizeBytes;
    this.count += count;
    this.lastId = lastId;
    return true;
  }

  /**
   * Adds events in order until one does not fit. Returns whether that happened. An event that is too large for any
   * batch is sent alone: the collector decides about it, and the queue never gets stuck.
   *
   * It adds as many events at a time as should fit, and half as many if they do not: 0.08 us an event. One by one took
   * 0.22 us.
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

  /** How many more events fit, if they are as large as those before. */
  #guess(): number {
    if (this.count === 0) return FIRST_GUESS;
    const fitting = ((this.#maxBytes - this.sizeBytes) * this.count) / this.sizeBytes;
    return Math.max(1, Math.floor(fitting * GUESSED_SHARE));
  }
}

/**
 * The size at which a batch is full. A batch that is too large for the collector (413) halves it. Then it doubles again
 * within ten minutes, since the collector's limit may have been raised. So a collector with an unchanged limit rejects
 * about one batch in ten minutes.
 */
export class BatchSize {
  readonly #maxBytes: number;
  #learntBytes: number;
  #learntAtMs = 0;
  /** The size of the largest accepted batch, until a smaller one is rejected. */
  #acceptedBytes = 0;

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

  /** Notes that the collector accepted a batch of this size. */
  accepted(sizeBytes: number): void {
    this.#acceptedBytes = Math.max(this.#acceptedBytes, sizeBytes);
  }

  /**
   * Notes that the collector rejected a batch as too large. If it accepted as large a batch before, one event may be too
   * large, so only a second rejection counts. Batches of the old size that were in flight do not count.
   *
   * @param sizeBytes the size of the batch
   * @param nowMs a monotonic time
   * @returns whether batches are smaller from now on
   */
  tooLarge(sizeBytes: number, nowMs: number = performance.now()): boolean {
    if (sizeBytes <= this.#acceptedBytes) {
      this.#acceptedBytes = Math.floor(sizeBytes / 2);
      return false;
    }
    const learntBytes = Math.max(MIN_LEARNT_BATCH_BYTES, Math.floor(sizeBytes / 2));
    if (learntBytes >= this.bytes(nowMs)) return false;
    this.#learntBytes = learntBytes;
    this.#learntAtMs = nowMs;
    return true;
  }
}
