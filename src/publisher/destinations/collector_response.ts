/**
 * What a collector's response means for the events of the batch.
 *
 * @module
 */
import { eachId, type IdRange } from "../../wire/event_ids.ts";
import { isMalformed, type Rejection, readReport } from "../../wire/rejections.ts";
import { parseRetryAfter } from "../../wire/retry_after.ts";
import type { Misconfigured, Outcome, PartiallyAccepted, Rejected } from "./destination.ts";

/** How much of a response is kept for logs and dead letters, in characters. */
export const KEPT_RESPONSE_CHARS = 1_024;

/** What came back on a POST. */
export interface CollectorResponse {
  readonly status: number;
  /** The `Content-Type` header; empty: there is none. */
  readonly contentType: string;
  /** The `Content-Encoding` header; empty: there is none. */
  readonly contentEncoding: string;
  /** The `Retry-After` header, where there is one. */
  readonly retryAfter: string | null;
  /** The beginning of the body. */
  readonly text: string;
  /** Whether the body is not all here: the connection ended before it did, or it is longer than any of a collector. */
  readonly isCut: boolean;
}

/** Which events were sent. */
export interface SentEvents {
  readonly ranges: readonly IdRange[];
  readonly count: number;
  /** The event, where it is only one. */
  readonly single: Uint8Array | undefined;
  /** Whether the collector has accounted for a batch before: then it does so for each. Default: false. */
  readonly isAccounted?: boolean;
}

const BAD_REQUEST = 400;
const TOO_LARGE = 413;
const UNPROCESSABLE = 422;

const UNAVAILABLE = new Set([408, 425, 429]);
const REJECTED = new Set([BAD_REQUEST, TOO_LARGE, UNPROCESSABLE]);

/** Statuses of forms, of parts of files, and of WebDAV (205 to 208, 226): no collector says so of a batch. */
const FOREIGN_SUCCESSES = new Set([205, 206, 207, 208, 226]);

/** Whether it is a status of a server that cannot do it now, else of one that never does. */
export function isUnavailable(status: number): boolean {
  return status >= 500 || UNAVAILABLE.has(status);
}

/** Tells what a response means. */
export function outcomeOf(response: CollectorResponse, sent: SentEvents): Outcome {
  const { status, retryAfter } = response;
  if (status >= 200 && status < 300) return outcomeOfSuccess(response, sent);
  if (REJECTED.has(status)) return outcomeOfRejection(response, sent);
  if (!isUnavailable(status)) return misconfigured(response);
  const retryAfterMs = parseRetryAfter(retryAfter, Date.now());
  return {
    kind: "unavailable",
    reason: describe(response),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

/**
 * A 2xx accepts the events only if a collector sent it: a balancer's default page, a portal or a program of another
 * kind answers 200, too. An empty body and any text are taken for a collector's, as those of baseplate.py say nothing,
 * until one has accounted for a batch: a maintenance page of plain text took 480 of 480 events.
 */
function outcomeOfSuccess(response: CollectorResponse, { count, ranges, isAccounted }: SentEvents): Outcome {
  const foreign = PAGE_WITHIN.test(response.text) ? A_PAGE : foreignContent(response);
  if (foreign !== undefined) return misconfigured(response, `${foreign}, which no collector sends`);
  if (FOREIGN_SUCCESSES.has(response.status)) return misconfigured(response, "which no collector does");
  if (response.isCut)
    return { kind: "unavailable", reason: `${describe(response)} (cut off)`, isTransport: true };
  const report = readReport(response.text, count);
  if (report === "contradictory")
    return misconfigured(response, `which does not account for the ${count} events that were sent`);
  if (report === "silent")
    return isAccounted
      ? misconfigured(response, "which does not account for the events, as the collector did before")
      : { kind: "accepted" };
  const { duplicates, rejected = [] } = report;
  if (rejected.length > 0) return partial(rejected, { ranges, duplicates });
  return { kind: "accepted", ...(duplicates !== undefined && { duplicates }) };
}

/** What is at fault: an event, or what is between us and the collector, which must never make dead letters. */
function outcomeOfRejection(response: CollectorResponse, { count, ranges, single }: SentEvents): Outcome {
  const { status, text } = response;
  const rejection: Rejected = { kind: "rejected", status, response: text.slice(0, KEPT_RESPONSE_CHARS) };
  const foreign = foreignContent(response);
  if (foreign !== undefined) {
    // A proxy's limit is worth knowing, and says nothing of an event.
    if (status === TOO_LARGE && count > 1) return rejection;
    return misconfigured(response, `${foreign}, which is a proxy's or another server's`);
  }
  if (status === BAD_REQUEST && isMalformed(text) && single !== undefined && isJson(single))
    return misconfigured(response, "though the event is JSON: the request was damaged on its way, or by us");
  const report = status === UNPROCESSABLE ? readReport(text, count) : "silent";
  // One that does not account for each event, or says nothing of them, is about the batch as a whole.
  if (typeof report === "string" || !report.rejected?.length) return rejection;
  return partial(report.rejected, { ranges, duplicates: report.duplicates });
}

function partial(
  rejections: readonly Rejection[],
  { ranges, duplicates }: { ranges: readonly IdRange[]; duplicates: number | undefined },
): PartiallyAccepted {
  const ids = [...eachId(ranges)];
  const rejected = rejections.map(({ index, error }) => {
    return { id: ids[index]!, status: UNPROCESSABLE, response: error.slice(0, KEPT_RESPONSE_CHARS) };
  });
  return { kind: "partial", rejected, undelivered: [], ...(duplicates !== undefined && { duplicates }) };
}

function misconfigured(response: CollectorResponse, why?: string): Misconfigured {
  return { kind: "misconfigured", reason: describe(response, why) };
}

function describe({ status, text }: CollectorResponse, why?: string): string {
  const response = text.slice(0, KEPT_RESPONSE_CHARS);
  return `the collector responded with ${status}${why ? `, ${why}` : ""}${response === "" ? "" : `: ${response}`}`;
}

const A_PAGE = "a web page";

/** HTML or XML, by its type. */
const PAGE_TYPE = /\b(?:html|xml)\b/i;

/** The same by how it begins. */
const PAGE = /^\s*</;

/** A page behind something else, such as a warning of the program that made it; JSON may quote an event that has one. */
const PAGE_WITHIN = /^\s*[^\s{[].*<(?:!doctype|html|head|body)\b/is;

/** What a collector may send: JSON, text, and what frameworks call bytes whose type they are not told. */
const COLLECTOR_TYPE = /^(?:|application\/.*|text\/(?:plain|(?:x-)?json).*)$/i;

/** What nginx has a page for, in the words of Go's servers, such as Caddy and Traefik. */
const PLAIN_TO_TLS = "Client sent an HTTP request to an HTTPS server.";

/** What is in a response that cannot be a collector's, as it is written for people, or cannot be read. Undefined: nothing. */
function foreignContent({ contentType, contentEncoding, text }: CollectorResponse): string | undefined {
  if (PAGE_TYPE.test(contentType) || PAGE.test(text)) return A_PAGE;
  if (!/^(?:|identity)$/i.test(contentEncoding))
    return `compressed by ${contentEncoding} though nobody asked`;
  if (!COLLECTOR_TYPE.test(contentType)) return contentType;
  if (text.includes("\0")) return "bytes that are not text";
  return text.trim() === PLAIN_TO_TLS ? "plain HTTP to a TLS port" : undefined;
}

function isJson(event: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(event));
    return true;
  } catch {
    return false;
  }
}
