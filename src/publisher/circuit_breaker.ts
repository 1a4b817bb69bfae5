/**
 * A circuit breaker for the destination and for the queue file, and its backoff.
 *
 * @module
 */
import { BACKOFF_MAX_MS } from "../wire/retry_after.ts";

/** The ceiling of the first backoff, in milliseconds. It doubles with each failure. */
export const BACKOFF_BASE_MS = 500;

/**
 * A circuit breaker. A failure is the destination's and not one batch's, so it stops all batches: the breaker opens for
 * a backoff that grows with each failure in a row. Then one request probes, and its success closes the breaker.
 */
export class CircuitBreaker {
  readonly #maxBackoffMs: number;
  #failures = 0;
  #failingSinceMs = 0;
  #closesAtMs = 0;

  /** @param maxBackoffMs the longest backoff, in milliseconds */
  constructor(maxBackoffMs: number = BACKOFF_MAX_MS) {
    this.#maxBackoffMs = maxBackoffMs;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** How long it stays open, in milliseconds. While it is open, nothing may be sent; 0: it is closed. @param nowMs a monotonic time */
  openForMs(nowMs: number = performance.now()): number {
    return Math.max(0, this.#closesAtMs - nowMs);
  }

  /** How long ago the current run of failures began, in milliseconds. @param nowMs a monotonic time */
  failingForMs(nowMs: number = performance.now()): number {
    return this.#failures === 0 ? 0 : nowMs - this.#failingSinceMs;
  }

  /**
   * Notes a success. While the breaker is open, it is that of a request that was in flight beside the failure, and does
   * not close the breaker: otherwise a Retry-After would only last until the next response.
   *
   * @param nowMs a monotonic time
   */
  succeeded(nowMs: number = performance.now()): void {
    if (this.openForMs(nowMs) === 0) this.#failures = 0;
  }

  /**
   * Notes a failure. Failures of requests that were in flight at the same time count once.
   *
   * @param retryAfterMs how long the collector asked us to wait. Jitter is added, so that a fleet does not return at once
   * @param nowMs a monotonic time
   * @returns how long the breaker stays open, in milliseconds
   */
  failed(retryAfterMs: number = 0, nowMs: number = performance.now()): number {
    if (this.#failures === 0) this.#failingSinceMs = nowMs;
    if (this.openForMs(nowMs) === 0) this.#failures++;
    this.#closesAtMs = Math.max(
      this.#closesAtMs,
      nowMs + retryAfterMs + backoffMs(this.#failures, { maxMs: this.#maxBackoffMs }),
    );
    return this.openForMs(nowMs);
  }
}

/**
 * A backoff with full jitter: a random time from 0 to a ceiling that doubles with each failure in a row, up to a maximum.
 * Source: AWS Architecture Blog, "Exponential Backoff and Jitter".
 *
 * @param failures failures in a row, from 1
 * @param options `maxMs`: the highest ceiling, in milliseconds, a minute by default; `random`: from 0 to below 1, for tests
 * @returns milliseconds
 */
export function backoffMs(failures: number, options: { maxMs?: number; random?: number } = {}): number {
  const { maxMs = BACKOFF_MAX_MS, random = Math.random() } = options;
  const ceilingMs = Math.min(maxMs, BACKOFF_BASE_MS * 2 ** (failures - 1));
  return random * ceilingMs;
}
