/** What came back on a POST, and what any server means by it. */
import { parseRetryAfter } from "../../wire/retry_after.ts";
import type { Misconfigured, Rejected, Unavailable } from "./destination.ts";

/** How much of a response is kept for logs and dead letters, in characters. */
export const KEPT_RESPONSE_CHARS = 1_024;

/** What came back on a POST. */
export interface HttpResponse {
  readonly status: number;
  /** The `Content-Type` header; empty: there is none. */
  readonly contentType: string;
  /** The `Content-Encoding` header; empty: there is none. */
  readonly contentEncoding: string;
  /** The `Accept-Encoding` header: the encodings that the server accepts (RFC 9110, 12.5.3); undefined: there is none. */
  readonly acceptEncoding: string | undefined;
  /** The `Retry-After` header, where there is one. */
  readonly retryAfter: string | null;
  /** The `Event-Ids` header: the events that it is about, as our collector says; undefined: there is none. */
  readonly eventIds: string | undefined;
  /** Whether it comes from a cache: it has an `Age` above 0 (RFC 9111, 5.1). */
  readonly isCached: boolean;
  /** The beginning of the body. */
  readonly text: string;
  /** Whether the body is not all here: the connection ended before it did, or it is longer than any of a collector. */
  readonly isCut: boolean;
}

export const BAD_REQUEST = 400;
export const TOO_LARGE = 413;
export const UNPROCESSABLE = 422;

/** Statuses of a server that rejects the content, for any sender. */
export const REJECTED_STATUSES: ReadonlySet<number> = new Set([BAD_REQUEST, TOO_LARGE, UNPROCESSABLE]);

const UNAVAILABLE = new Set([408, 425, 429]);

/** Statuses of forms, of parts of files, and of WebDAV (205 to 208, 226): nobody says so of a batch. */
const FOREIGN_SUCCESSES = new Set([205, 206, 207, 208, 226]);

/** Whether it is a 2xx that nobody says of a batch. */
export function isForeignStatus(status: number): boolean {
  return FOREIGN_SUCCESSES.has(status);
}

/** Whether it is a status of a server that cannot do it now, else of one that never does. */
export function isUnavailable(status: number): boolean {
  return status >= 500 || UNAVAILABLE.has(status);
}

export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** What a response means that neither accepts nor rejects the events. @param advice what to do about it, for people */
export function failureOf(response: HttpResponse, advice?: string): Unavailable | Misconfigured {
  if (!isUnavailable(response.status)) return misconfigured(response, advice);
  const retryAfterMs = parseRetryAfter(response.retryAfter, Date.now());
  return {
    kind: "unavailable",
    reason: describe(response, advice),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

/**
 * Why a 2xx is not from who should answer: a balancer's default page, a portal or a program of another kind answers 200,
 * too. Or it is cut, and so unknown what it says. Undefined: it may accept the events.
 */
export function foreignSuccess(response: HttpResponse): Unavailable | Misconfigured | undefined {
  const foreign = PAGE_WITHIN.test(response.text) ? A_PAGE : foreignContent(response);
  if (foreign !== undefined) return misconfigured(response, `${foreign}, which accepts no events`);
  if (response.isCached) return misconfigured(response, "from a cache, which must not cache what is POSTed");
  if (!response.isCut) return undefined;
  return { kind: "unavailable", reason: `${describe(response)} (cut off)`, isTransport: true };
}

/**
 * What a rejection means that cannot be from who should answer: what is between us and it must never make dead letters.
 * Undefined: it may be about the events. @param count how many were sent
 */
export function foreignRejection(
  response: HttpResponse,
  count: number,
): Rejected | Misconfigured | undefined {
  const foreign = foreignContent(response);
  if (foreign === undefined) return undefined;
  // A proxy's limit is worth knowing, and says nothing of an event.
  if (response.status === TOO_LARGE && count > 1) return rejectionOf(response);
  return misconfigured(response, `${foreign}, which is a proxy's or another server's`);
}

/** The whole batch is rejected. */
export function rejectionOf({ status, text }: HttpResponse): Rejected {
  return { kind: "rejected", status, response: text.slice(0, KEPT_RESPONSE_CHARS) };
}

export function misconfigured(response: HttpResponse, why?: string): Misconfigured {
  return { kind: "misconfigured", reason: describe(response, why) };
}

function describe({ status, text }: HttpResponse, why?: string): string {
  const response = text.slice(0, KEPT_RESPONSE_CHARS);
  return `the destination responded with ${status}${why ? `, ${why}` : ""}${response === "" ? "" : `: ${response}`}`;
}

const A_PAGE = "a web page";

/** HTML or XML, by its type. */
const PAGE_TYPE = /\b(?:html|xml)\b/i;

/** The same by how it begins. */
const PAGE = /^\s*</;

/** A page after other text, such as a warning of the program that made it; JSON may quote an event that contains one. */
const PAGE_WITHIN = /^\s*[^\s{[].*<(?:!doctype|html|head|body)\b/is;

/** What a collector may send: JSON, text (ClickHouse's is tab-separated), and what frameworks call bytes of no known type. */
const COLLECTOR_TYPE = /^(?:|application\/.*|text\/(?:plain|tab-separated-values|(?:x-)?json).*)$/i;

/** Before an app is asked, in the words of servers: of Go, such as Caddy and Traefik, and of uvicorn. */
const NOT_HTTP =
  /^(?:400 Bad Request(?:$|:)|Client sent an HTTP request to an HTTPS server|Invalid HTTP request received)/;

/** What is in a response that cannot be a collector's, as it is written for people, or cannot be read. Undefined: nothing. */
function foreignContent({ contentType, contentEncoding, text }: HttpResponse): string | undefined {
  if (PAGE_TYPE.test(contentType) || PAGE.test(text)) return A_PAGE;
  if (!/^(?:|identity)$/i.test(contentEncoding))
    return `compressed by ${contentEncoding} though nobody asked`;
  if (!COLLECTOR_TYPE.test(contentType)) return contentType;
  if (text.includes("\0")) return "bytes that are not text";
  return NOT_HTTP.test(text.trim()) ? "of a server that cannot read the request" : undefined;
}
