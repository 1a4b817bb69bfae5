/** How many requests may be in flight at once. */

/** With fewer requests in flight, the publisher's own work limits the speed, not the collector's latency. */
const FIRST_LIMIT = 4;

/** A response that takes this many times longer than the fastest one was queued at the collector. */
const SLOW_FACTOR = 2;

/** How long the quickest response counts, in milliseconds: the latency to a collector may change. */
const WINDOW_MS = 60_000;

/**
 * Finds how many requests the collector can handle at once. The limit doubles with each round trip while it is fully used
 * and responses stay as quick. It falls when responses slow down. A failure sets it to one, so that a collector that comes
 * back gets little load first. Sources: Vector's adaptive request concurrency, and TCP's slow start.
 */
export class ConcurrencyLimit {
  readonly #max: number;
  readonly #first: number;
  #count: number;
  #quickestMs = Number.POSITIVE_INFINITY;
  #quickestBeforeMs = Number.POSITIVE_INFINITY;
  #windowEndsAtMs = 0;

  /** @param max the highest limit */
  constructor(max: number) {
    this.#max = max;
    this.#first = Math.min(max, FIRST_LIMIT);
    this.#count = this.#first;
  }

  /** The current limit, at least 1. */
  get count(): number {
    return Math.floor(this.#count);
  }

  /**
   * Learns from a request that succeeded.
   *
   * @param durationMs how long it took
   * @param inFlight how many were in flight, including this one
   * @param nowMs a monotonic time
   */
  succeeded(durationMs: number, inFlight: number, nowMs: number = performance.now()): void {
    this.#remember(durationMs, nowMs);
    const isSlow = durationMs > SLOW_FACTOR * Math.min(this.#quickestMs, this.#quickestBeforeMs);
    if (isSlow && this.#count >= this.#first) this.#count = Math.max(this.#first, this.#count - 0.5);
    else if (inFlight >= this.count) this.#count = Math.min(this.#max, this.#count + 1);
  }

  /** Learns that a request failed. */
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
