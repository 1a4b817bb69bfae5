/**
 * The protocol of baseplate.py's collectors: batches are framed and signed, and their events named.
 *
 * @module
 */
import { BATCH_FORMATS, frame } from "../../wire/batch_format.ts";
import { EVENT_IDS_HEADER, formatEventIds } from "../../wire/event_ids.ts";
import {
  EVENT_IDS_SIGNATURE_HEADER,
  formatSignature,
  SIGNATURE_HEADER,
  type SigningKey,
  signBody,
  signEventIds,
} from "../../wire/signature.ts";
import { collectorOutcome } from "./collector_response.ts";
import type { HttpHeaders, HttpProtocol } from "./http.ts";

/** The longest `Event-Ids` that is sent, in bytes: servers take headers of 8 KiB. Where hundreds of rows were deleted by hand, they go unnamed. */
const MAX_EVENT_IDS_BYTES = 4_096;

/** The URLs whose collectors have accounted for a batch, as ours does for each: of the process, so that a reload keeps them. */
const accounting = new Set<string>();

/** Speaks with an HTTP collector, such as `bun run collector`. */
export function collectorProtocol(version: "2" | "2j", key: SigningKey, url: string): HttpProtocol {
  const format = BATCH_FORMATS[version];
  return {
    emptyBatchBytes: format.baseBytes,
    headers: { "Content-Type": "application/json" },
    write: (batch, allocate) => frame(format, batch, allocate),
    sign(body, { queueUuid, ranges }) {
      const signature = signBody(body, key);
      const ids = { eventIds: formatEventIds(queueUuid, ranges), bodyMac: signature.mac };
      return () => ({ [SIGNATURE_HEADER]: formatSignature(signature), ...eventIdsHeaders(ids, key) });
    },
    outcomeOf(response, sent) {
      const outcome = collectorOutcome(response, sent, accounting.has(url));
      if ("duplicates" in outcome) accounting.add(url);
      return outcome;
    },
  };
}

/** Names the events. The signature has the time in it, and so is made again at each attempt. */
function eventIdsHeaders(ids: Parameters<typeof signEventIds>[0], key: SigningKey): HttpHeaders {
  if (ids.eventIds.length > MAX_EVENT_IDS_BYTES) return {};
  return {
    [EVENT_IDS_HEADER]: ids.eventIds,
    [EVENT_IDS_SIGNATURE_HEADER]: signEventIds(ids, key.secret, Date.now()),
  };
}
