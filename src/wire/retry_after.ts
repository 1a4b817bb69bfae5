/**
 * The header `Retry-After`: how long a collector wants to be left alone.
 *
 * @module
 */

/**
 * How much longer than its POST a lease lasts, in milliseconds: time to read, sign and gzip
 * before the POST and to settle after it. Only a publisher that died lets a lease run out.
 */
export const LEASE_MARGIN_MS = 5_000;

/** The last ceiling of the full-jitter backoff, in milliseconds. */
export const BACKOFF_MAX_MS = 60_000;

/** The header's name. */
export const RETRY_AFTER_HEADER = "Retry-After";

/** The longest `Retry-After` that is believed, in milliseconds: an hour. */
export const RETRY_AFTER_MAX_MS = 3_600_000;

/** Writes the header. */
export function formatRetryAfter(seconds: number): string {
  return String(Math.ceil(seconds));
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
