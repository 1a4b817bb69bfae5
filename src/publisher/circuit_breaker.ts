/**
 * Whether the collector, or the queue file, may be used now.
 *
 * @module
 */
import { BACKOFF_MAX_MS } from "../wire/retry_after.ts";

/** The first ceiling of the full-jitter backoff, in milliseconds; it doubles with each failure. */
export const BACKOFF_BASE_MS = 500;

/**
 * A circuit breaker. A failure concerns the collector and not one batch, so it stops all of them: the breaker is open
 * for a backoff that grows with each failure in a row. Then one request probes, and its success closes the breaker.
 */
export class CircuitBreaker {
  readonly #maxBackoffMs: number;
  #failures = 0;
  #failingSinceMs = 0;
  #closesAtMs = 0;

  /** @param maxBackoffMs the last ceiling of the backoff, in milliseconds */
  constructor(maxBackoffMs: number = BACKOFF_MAX_MS) {
    this.#maxBackoffMs = maxBackoffMs;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** For how long it is still open, in milliseconds: nothing may be sent. 0: closed. @param nowMs a monotonic time */
  openForMs(nowMs: number = performance.now()): number {
    return Math.max(0, this.#closesAtMs - nowMs);
  }

  /** How long there have been only failures, in milliseconds. @param nowMs a monotonic time */
  failingForMs(nowMs: number = performance.now()): number {
    return this.#failures === 0 ? 0 : nowMs - this.#failingSinceMs;
  }

  /**
   * Notes a response that shows a working collector. While the breaker is open, it belongs to a request that was in
   * flight beside a failure, and closes nothing: otherwise a Retry-After would last only until the next response.
   *
   * @param nowMs a monotonic time
   */
  succeeded(nowMs: number = performance.now()): void {
    if (this.openForMs(nowMs) === 0) this.#failures = 0;
  }

  /**
   * Notes a request that failed. Failures of requests that were in flight beside it count once.
   *
   * @param retryAfterMs how long the collector asked us to wait; jitter is added, so that a fleet does not come back as one
   * @param nowMs a monotonic time
   * @returns for how long the breaker is open, in milliseconds
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
 * Full jitter: anything from 0 to a ceiling that doubles with each failure in a row, up to a last one.
 * Source: AWS Architecture Blog, "Exponential Backoff and Jitter".
 *
 * @param failures failures in a row, from 1
 * @param options the last ceiling, in milliseconds, a minute by default; a number from 0 to below 1, for tests
 * @returns milliseconds
 */
export function backoffMs(failures: number, options: { maxMs?: number; random?: number } = {}): number {
  const { maxMs = BACKOFF_MAX_MS, random = Math.random() } = options;
  const ceilingMs = Math.min(maxMs, BACKOFF_BASE_MS * 2 ** (failures - 1));
  return random * ceilingMs;
}
