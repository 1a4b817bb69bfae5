/** The header `Retry-After`, and how long a publisher may wait before it sends events again. */

/**
 * How much longer a lease lasts than its request, in milliseconds: the time to read, sign and compress before the request,
 * and to settle after it. Only the leases of a dead publisher expire.
 */
export const LEASE_MARGIN_MS = 5_000;

/** The longest backoff, in milliseconds. */
export const BACKOFF_MAX_MS = 60_000;

/** The header's name. */
export const RETRY_AFTER_HEADER = "Retry-After";

/** The longest `Retry-After` that is followed, in milliseconds: an hour. */
export const RETRY_AFTER_MAX_MS = 3_600_000;

/** Formats the header. */
export function formatRetryAfter(seconds: number): string {
  return String(Math.ceil(seconds));
}

/**
 * Parses the header: seconds, or an HTTP date (RFC 9110, 10.2.3). The result is at most an hour.
 *
 * @param header the value of the header; null: there is none
 * @param nowMs the time, in Unix milliseconds
 * @returns milliseconds from now; undefined: there is no valid header
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
 * Parses the three date formats of RFC 9110, 5.6.7; NaN: it is none. Date.parse alone accepts "-1" and "5.5", and reads an
 * asctime date, which is in UTC, as local time.
 */
function httpDateMs(text: string): number {
  if (HTTP_DATE.test(text)) return Date.parse(text);
  return ASCTIME_DATE.test(text) ? Date.parse(`${text} GMT`) : Number.NaN;
}
