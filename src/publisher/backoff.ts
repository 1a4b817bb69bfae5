/**
 * How long to leave a collector alone.
 *
 * @module
 */
import { BACKOFF_BASE_MS, BACKOFF_MAX_MS, RETRY_AFTER_MAX_MS } from "../limits.ts";

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

/**
 * A `Retry-After` header: seconds, or an HTTP date (RFC 9110, 10.2.3), bounded to an hour.
 *
 * @param header the header's value; null where there is none
 * @param nowMs the time, in Unix milliseconds
 * @returns milliseconds from now; undefined where there is nothing to be understood
 */
export function parseRetryAfter(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  const text = header.trim();
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1_000 : httpDateMs(text) - nowMs;
  if (Number.isNaN(waitMs)) return undefined;
  return Math.min(Math.max(waitMs, 0), RETRY_AFTER_MAX_MS);
}

const HTTP_DATE = /^[A-Z][a-z]{2,8}, \d\d[ -][A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d GMT$/;
const ASCTIME_DATE = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/;

/**
 * The three forms of RFC 9110, 5.6.7, else NaN. Date.parse alone takes "-1" and "5.5" for dates, and
 * an asctime date, which is in UTC without saying so, for local time.
 */
function httpDateMs(text: string): number {
  if (HTTP_DATE.test(text)) return Date.parse(text);
  return ASCTIME_DATE.test(text) ? Date.parse(`${text} GMT`) : Number.NaN;
}
