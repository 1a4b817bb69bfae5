/**
 * How many requests may be on their way at once.
 *
 * @module
 */

/** Below this limit the publisher's own work, not the collector's distance, decides the speed. */
const FIRST_LIMIT = 4;

/** A response that takes this many times the quickest one has waited behind others: a higher limit would not help. */
const SLOW_FACTOR = 2;

/** How long the quickest answer is remembered, in milliseconds, since a collector may move away. */
const WINDOW_MS = 60_000;

/**
 * Finds out how many requests the collector can take at once: more while all are in use and answers come
 * as quickly as with fewer, doubling with each round trip; fewer when answers slow down. A failure leaves
 * one, so that a collector that comes back is asked gently. Source of the idea: Vector's adaptive request
 * concurrency, and TCP's slow start.
 */
export class ConcurrencyLimit {
  readonly #max: number;
  readonly #first: number;
  #count: number;
  #quickestMs = Number.POSITIVE_INFINITY;
  #quickestBeforeMs = Number.POSITIVE_INFINITY;
  #windowEndsAtMs = 0;

  /** @param max never more than these */
  constructor(max: number) {
    this.#max = max;
    this.#first = Math.min(max, FIRST_LIMIT);
    this.#count = this.#first;
  }

  /** How many there are now, 1 or more. */
  get count(): number {
    return Math.floor(this.#count);
  }

  /**
   * Learns from an answer.
   *
   * @param durationMs how long it took
   * @param inFlight how many were on their way, this one included
   * @param nowMs a monotonic time
   */
  succeeded(durationMs: number, inFlight: number, nowMs: number = performance.now()): void {
    this.#remember(durationMs, nowMs);
    const isSlow = durationMs > SLOW_FACTOR * Math.min(this.#quickestMs, this.#quickestBeforeMs);
    if (isSlow && this.#count >= this.#first) this.#count = Math.max(this.#first, this.#count - 0.5);
    else if (inFlight >= this.count) this.#count = Math.min(this.#max, this.#count + 1);
  }

  /** Learns that the collector cannot be reached, or not take what it is sent. */
  failed(): void {
    this.#count = 1;
  }

  #remember(durationMs: number, nowMs: number): void {
    if (nowMs >= this.#windowEndsAtMs) {
      this.#quickestBeforeMs = this.#quickestMs;
      this.#quickestMs = Number.POSITIVE_INFINITY;
      this.#windowEndsAtMs = nowMs + WINDOW_MS;
    }
    this.#quickestMs = Math.min(this.#quickestMs, durationMs);
  }
}
