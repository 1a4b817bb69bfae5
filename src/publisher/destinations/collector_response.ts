/**
 * What a collector's answer means for the events of the batch.
 *
 * @module
 */
import { MAX_ANSWER_BYTES } from "../../limits.ts";
import { parseRetryAfter } from "../../wire/retry_after.ts";
import type { LeasedBatch, Outcome, Rejected, RejectedEvent } from "./destination.ts";

/** What came back on a POST. */
export interface CollectorAnswer {
  readonly status: number;
  /** The `Retry-After` header, where there is one. */
  readonly retryAfter: string | null;
  /** The beginning of the answer's body. */
  readonly text: string;
}

/** Which events were sent. */
export type SentIds = Pick<LeasedBatch, "firstId" | "lastId" | "count">;

/** The status of a batch whose faulty events the collector may name. */
export const UNPROCESSABLE = 422;

const UNAVAILABLE = new Set([408, 425, 429]);
const REFUSED = new Set([400, 413, UNPROCESSABLE]);

/** Tells what an answer means. */
export function outcomeOf({ status, retryAfter, text }: CollectorAnswer, sent: SentIds): Outcome {
  if (status >= 200 && status < 300) return { kind: "accepted", ...duplicatesIn(text) };
  const answer = text.slice(0, MAX_ANSWER_BYTES);
  if (REFUSED.has(status)) return eventByEvent({ kind: "rejected", status, answer }, text, sent);
  const reason = `the collector answered ${status}${answer === "" ? "" : `: ${answer}`}`;
  if (status < 500 && !UNAVAILABLE.has(status)) return { kind: "misconfigured", reason };
  const retryAfterMs = parseRetryAfter(retryAfter, Date.now());
  return { kind: "unavailable", reason, ...(retryAfterMs !== undefined && { retryAfterMs }) };
}

/**
 * A collector such as ours stores the good events and names the others:
 * `{"accepted": 2, "rejected": [{"index": 1, "error": "..."}]}`. That is believed if it accounts for each event that
 * was sent; an answer that does not, or says nothing of it, as other collectors' do, is about the batch as a whole.
 */
function eventByEvent(rejection: Rejected, text: string, { firstId, lastId, count }: SentIds): Outcome {
  const { status } = rejection;
  // Where rows were deleted by hand, an index does not tell the id.
  if (status !== UNPROCESSABLE || lastId - firstId + 1 !== count) return rejection;
  const rejected = new Map<number, RejectedEvent>();
  const { accepted, rejected: named } = parseAnswer(text);
  if (!Array.isArray(named) || named.length === 0 || accepted !== count - named.length) return rejection;
  for (const item of named) {
    const { index, error } = Object(item) as { index?: unknown; error?: unknown };
    if (!Number.isInteger(index) || (index as number) < 0 || (index as number) >= count) return rejection;
    const id = firstId + (index as number);
    rejected.set(id, { id, status, answer: String(error ?? "").slice(0, MAX_ANSWER_BYTES) });
  }
  if (rejected.size !== named.length) return rejection;
  const inOrder = [...rejected.values()].sort((a, b) => a.id - b.id);
  return { kind: "partial", rejected: inOrder, undelivered: [], ...duplicatesIn(text) };
}

function duplicatesIn(text: string): { duplicates?: number } {
  const { duplicates } = parseAnswer(text);
  return Number.isInteger(duplicates) ? { duplicates: duplicates as number } : {};
}

function parseAnswer(text: string): { accepted?: unknown; duplicates?: unknown; rejected?: unknown } {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}
