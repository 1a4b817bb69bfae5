/**
 * How long to leave a collector alone.
 *
 * @module
 */
import { BACKOFF_BASE_MS, BACKOFF_MAX_MS } from "../limits.ts";

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
