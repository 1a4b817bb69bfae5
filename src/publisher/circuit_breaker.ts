/**
 * Whether the collector, or the queue file, may be asked now.
 *
 * @module
 */
import { BACKOFF_MAX_MS } from "../wire/retry_after.ts";

/** The first ceiling of the full-jitter backoff, in milliseconds; it doubles with each failure. */
export const BACKOFF_BASE_MS = 500;

/**
 * Opens and shuts the way to the collector. A failure concerns the collector and not one batch, so it
 * stops all of them: for a backoff that grows with each failure in a row. Then one request probes, and
 * its success opens the gate again.
 */
export class CircuitBreaker {
  readonly #maxBackoffMs: number;
  #failures = 0;
  #failingSinceMs = 0;
  #opensAtMs = 0;

  /** @param maxBackoffMs the last ceiling of the backoff, in milliseconds */
  constructor(maxBackoffMs: number = BACKOFF_MAX_MS) {
    this.#maxBackoffMs = maxBackoffMs;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** How long nothing may be sent, in milliseconds. @param nowMs a monotonic time */
  shutForMs(nowMs: number = performance.now()): number {
    return Math.max(0, this.#opensAtMs - nowMs);
  }

  /** How long there have been only failures, in milliseconds. @param nowMs a monotonic time */
  failingForMs(nowMs: number = performance.now()): number {
    return this.#failures === 0 ? 0 : nowMs - this.#failingSinceMs;
  }

  /**
   * An answer that shows a working collector. While the gate is shut, it is one that was in flight beside
   * a failure: it opens nothing, or a Retry-After would last until the next answer.
   *
   * @param nowMs a monotonic time
   */
  succeeded(nowMs: number = performance.now()): void {
    if (this.shutForMs(nowMs) === 0) this.#failures = 0;
  }

  /**
   * A request that failed. Those that were in flight beside it tell the same story: they count once.
   *
   * @param retryAfterMs how long the collector asked to be left alone; jitter is added, or a fleet would come back as one
   * @param nowMs a monotonic time
   * @returns how long the gate is shut, in milliseconds
   */
  failed(retryAfterMs: number = 0, nowMs: number = performance.now()): number {
    if (this.#failures === 0) this.#failingSinceMs = nowMs;
    if (this.shutForMs(nowMs) === 0) this.#failures++;
    this.#opensAtMs = Math.max(
      this.#opensAtMs,
      nowMs + retryAfterMs + backoffMs(this.#failures, { maxMs: this.#maxBackoffMs }),
    );
    return this.shutForMs(nowMs);
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
