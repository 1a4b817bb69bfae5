/**
 * What a collector's answer means for the events of the batch.
 *
 * @module
 */
import { parseRetryAfter } from "./backoff.ts";

/** What came back on a POST. */
export interface CollectorAnswer {
  readonly status: number;
  /** The `Retry-After` header, where there is one. */
  readonly retryAfter: string | null;
  /** The beginning of the answer's body. */
  readonly text: string;
}

/**
 * - `accepted`: the collector has the events; they are removed.
 * - `unavailable`: it cannot take anything now; the events are kept, and sent again after a while, for ever.
 * - `misconfigured`: it does not take anything from us: address, key or path are wrong. As `unavailable`,
 *   and the operator is told, since it is not the events' fault and does not pass by itself.
 * - `refused`: it does not take these events. The batch is halved down to the one at fault.
 */
export type Outcome =
  | { readonly kind: "accepted" }
  | { readonly kind: "unavailable"; readonly reason: string; readonly retryAfterMs?: number }
  | { readonly kind: "misconfigured"; readonly reason: string }
  | { readonly kind: "refused"; readonly status: number; readonly answer: string };

const UNAVAILABLE = new Set([408, 425, 429]);
const REFUSED = new Set([400, 413, 422]);

/** Tells what an answer means. */
export function outcomeOf({ status, retryAfter, text }: CollectorAnswer): Outcome {
  if (status >= 200 && status < 300) return { kind: "accepted" };
  if (REFUSED.has(status)) return { kind: "refused", status, answer: text };
  const reason = `the collector answered ${status}${text === "" ? "" : `: ${text}`}`;
  if (status < 500 && !UNAVAILABLE.has(status)) return { kind: "misconfigured", reason };
  const retryAfterMs = parseRetryAfter(retryAfter, Date.now());
  return { kind: "unavailable", reason, ...(retryAfterMs !== undefined && { retryAfterMs }) };
}
