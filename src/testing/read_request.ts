/**
 * Reading a batch as a collector does.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { type Keys, parseSignature, verifySignature } from "../collector/signature.ts";
import type { BatchVersion } from "../collector/sinks/event_list.ts";
import type { CollectedRequest } from "./answers.ts";

const PATHS: Readonly<Record<string, BatchVersion>> = { "/v2": "2", "/v2j": "2j" };

/**
 * Reads a batch, and checks its signature, that it is gzip and what it is framed in.
 *
 * @throws {Error} it is none
 */
export async function readRequest(request: IncomingMessage, keys: Keys): Promise<CollectedRequest> {
  const { url: path = "", headers } = request;
  const sent = await buffer(request);
  const version = PATHS[path.replace(/.*(?=\/)/, "")];
  if (request.method !== "POST" || version === undefined) throw new Error("There are POST /v2 and /v2j.");
  if (headers["content-encoding"] !== "gzip") throw new Error("Content-Encoding is not gzip.");
  const body = gunzipSync(sent);
  verifySignature(body, parseSignature(String(headers["x-signature"])), keys);
  return {
    events: eventsOf(JSON.parse(body.toString()), version),
    eventIds: String(headers["event-ids"] ?? ""),
    version,
    path,
    headers,
    bytes: body.length,
    atMs: performance.now(),
    status: undefined,
  };
}

/** `[e1, e2]`, or `{"1": {"lst": ["rec", 2, e1, e2]}}`. */
function eventsOf(body: unknown, version: BatchVersion): unknown[] {
  if (version === "2j" && Array.isArray(body)) return body;
  const [type, count, ...events] = (body as { "1"?: { lst?: unknown[] } })["1"]?.lst ?? [];
  if (version === "2j" || type !== "rec" || count !== events.length)
    throw new Error(`The body is not a version ${version} batch.`);
  return events;
}

/** The names of a request's events, one each, from its `Event-Ids` header; empty: it has none. */
export function namesOf({ eventIds, events }: CollectedRequest): string[] {
  const [queue = "", ranges = ""] = eventIds.split(":");
  const names: string[] = [];
  for (const range of ranges === "" ? [] : ranges.split(",")) {
    const [first = Number.NaN, last = first] = range.split("-").map(Number);
    for (let id = first; id <= last && names.length < events.length; id++) names.push(`${queue}:${id}`);
  }
  return names;
}
