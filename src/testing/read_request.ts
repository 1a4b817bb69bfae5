/**
 * Reading a batch as a collector does.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { parseEvents } from "../collector/events.ts";
import { requireSignature, verifySignature } from "../collector/signature.ts";
import type { RequestVersion } from "../collector/sinks/sink.ts";
import { EVENT_IDS_HEADER, eachId, parseEventIds } from "../wire/event_ids.ts";
import type { SigningKey } from "../wire/signature.ts";
import type { CollectedRequest } from "./responses.ts";

const PATHS: Readonly<Record<string, RequestVersion>> = { "/v2": "2", "/v2j": "2j" };

/**
 * Reads a batch, and checks its signature, that it is gzip and what it is framed in.
 *
 * @throws {Error} it is none
 */
export async function readRequest(request: IncomingMessage, key: SigningKey): Promise<CollectedRequest> {
  const { url: path = "", headers } = request;
  const sent = await buffer(request);
  const version = PATHS[path.replace(/.*(?=\/)/, "")];
  if (request.method !== "POST" || version === undefined) throw new Error("There are POST /v2 and /v2j.");
  if (headers["content-encoding"] !== "gzip") throw new Error("Content-Encoding is not gzip.");
  const body = gunzipSync(sent);
  const keys = new Map([[key.name, key.secret]]);
  verifySignature(body, requireSignature(new Headers(headers as Record<string, string>), keys), keys);
  const { events } = parseEvents(body, version, { checkStructs: false });
  return {
    events: Array.from({ length: events.count }, (_, index): unknown => JSON.parse(events.text(index))),
    eventIds: String(headers[EVENT_IDS_HEADER.toLowerCase()] ?? ""),
    version,
    path,
    headers,
    bytes: body.length,
    atMs: performance.now(),
    status: undefined,
  };
}

/** The names of a request's events, one each, from its `Event-Ids` header; empty: it does not name them one by one. */
export function namesOf({ eventIds, events }: CollectedRequest): string[] {
  const ids = parseEventIds(eventIds);
  if (ids?.count !== events.length) return [];
  return [...eachId(ids.ranges)].map((id) => `${ids.queue}:${id}`);
}
