/**
 * How large batches may be: as configured, or what the collector has been seen to take.
 *
 * @module
 */
import { BATCH_REGROWTH_MS, MIN_LEARNT_BATCH_BYTES } from "../limits.ts";

/**
 * The size at which a batch is full. Each batch that is too large for the collector (413) halves it; then it
 * grows again, doubling in ten minutes, since the collector may have been given a higher limit: a collector
 * that stays as it is refuses about one batch in that time.
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
   * events that it finds too large, until a second batch is refused. Those that were in flight beside it, of the old size, teach nothing new.
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
