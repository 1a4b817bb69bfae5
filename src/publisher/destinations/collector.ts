/**
 * The protocol of baseplate.py's collectors: batches are framed and signed, and their events named; and what a response
 * of a collector means for the events.
 */
import { getLogger } from "@logtape/logtape";
import { BATCH_FORMATS, frame } from "../../wire/batch_format.ts";
import { EVENT_IDS_HEADER, eachId, formatEventIds } from "../../wire/event_ids.ts";
import { isMalformed, type Rejection, readReport } from "../../wire/rejections.ts";
import {
  EVENT_IDS_SIGNATURE_HEADER,
  formatSignature,
  SIGNATURE_HEADER,
  type SigningKey,
  signBody,
  signEventIds,
} from "../../wire/signature.ts";
import type { Outcome, PartiallyAccepted } from "./destination.ts";
import type { HttpHeaders, HttpProtocol, SentEvents } from "./http.ts";
import {
  BAD_REQUEST,
  failureOf,
  foreignRejection,
  foreignSuccess,
  type HttpResponse,
  isForeignStatus,
  isSuccess,
  KEPT_RESPONSE_CHARS,
  misconfigured,
  REJECTED_STATUSES,
  rejectionOf,
  UNPROCESSABLE,
} from "./http_response.ts";

/** The longest `Event-Ids` that is sent, in bytes: servers take headers of 8 KiB. Where hundreds of rows were deleted by hand, they go unnamed. */
const MAX_EVENT_IDS_BYTES = 4_096;

/** Speaks with an HTTP collector, such as `bun run collector`. */
export function collectorProtocol(version: "2" | "2j", key: SigningKey): HttpProtocol {
  const format = BATCH_FORMATS[version];
  let isAccounted = false;
  /** How many events were accepted by responses that do not say how many. */
  let silentCount = 0;
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
      const outcome = collectorOutcome(response, sent, isAccounted);
      if (outcome.kind !== "accepted" && outcome.kind !== "partial") return outcome;
      if (readReport(response.text, sent.count) === "silent") {
        if (silentCount === 0) logSilent(response, sent);
        silentCount += sent.count;
      } else {
        if (silentCount > 0 && !isAccounted) logMixed(silentCount, sent);
        isAccounted = true; // as ours does for each batch
      }
      return outcome;
    },
    get risks() {
      return isAccounted && silentCount > 0 ? [mixed(silentCount)] : [];
    },
  };
}

const logger = getLogger(["eventspool", "publisher"]);

/** Once: collectors of baseplate.py respond so to each batch. */
function logSilent({ status }: HttpResponse, { ranges }: SentEvents): void {
  logger.warn(
    "The destination responded to events {firstId} to {lastId} with {status} and did not say how many it took: they are lost if something else responded in its place",
    { firstId: ranges[0]?.firstId, lastId: ranges.at(-1)?.lastId, status },
  );
}

function mixed(count: number): string {
  return `${count} events were accepted by responses that do not say how many, before the collector did: they may have come from something else, such as a proxy, and the events may be lost. See that they arrived, or replay them`;
}

function logMixed(count: number, { ranges }: SentEvents): void {
  logger.error("Events before {firstId} may be lost: {reason}", {
    firstId: ranges[0]?.firstId,
    reason: mixed(count),
  });
}

/** Names the events. The signature has the time in it, and so is made again at each attempt. */
function eventIdsHeaders(ids: Parameters<typeof signEventIds>[0], key: SigningKey): HttpHeaders {
  if (ids.eventIds.length > MAX_EVENT_IDS_BYTES) return {};
  return {
    [EVENT_IDS_HEADER]: ids.eventIds,
    [EVENT_IDS_SIGNATURE_HEADER]: signEventIds(ids, key.secret, Date.now()),
  };
}

/** Tells what a response means. @param isAccounted whether the collector has accounted for a batch before: then it does so for each */
export function collectorOutcome(response: HttpResponse, sent: SentEvents, isAccounted = false): Outcome {
  const { eventIds } = response;
  if (eventIds !== undefined && eventIds !== formatEventIds(sent.queueUuid, sent.ranges))
    return misconfigured(response, "to other events, such as from a cache");
  if (isSuccess(response.status)) return outcomeOfSuccess(response, sent, isAccounted);
  return REJECTED_STATUSES.has(response.status) ? outcomeOfRejection(response, sent) : failureOf(response);
}

/**
 * An empty body and any text count as a collector's, as those of baseplate.py say nothing, until one has accounted
 * for a batch: a maintenance page of plain text took 480 of 480 events.
 */
function outcomeOfSuccess(response: HttpResponse, sent: SentEvents, isAccounted: boolean): Outcome {
  const foreign = foreignSuccess(response);
  if (foreign !== undefined) return foreign;
  if (isForeignStatus(response.status)) return misconfigured(response, "which no collector does");
  const report = readReport(response.text, sent.count);
  if (report === "contradictory")
    return misconfigured(response, `which does not account for the ${sent.count} events that were sent`);
  if (report === "silent")
    return isAccounted
      ? misconfigured(response, "which does not account for the events, as the collector did before")
      : { kind: "accepted" };
  const { duplicates, rejected = [] } = report;
  if (rejected.length > 0) return partial(rejected, sent, duplicates);
  return { kind: "accepted", ...(duplicates !== undefined && { duplicates }) };
}

/** What is at fault: an event, or what is between us and the collector. */
function outcomeOfRejection(response: HttpResponse, sent: SentEvents): Outcome {
  const { status, text } = response;
  const foreign = foreignRejection(response, sent.count);
  if (foreign !== undefined) return foreign;
  if (status === BAD_REQUEST && isMalformed(text) && sent.single !== undefined && isJson(sent.single))
    return misconfigured(response, "though the event is JSON: the request was damaged on its way, or by us");
  const report = status === UNPROCESSABLE ? readReport(text, sent.count) : "silent";
  // One that does not account for each event, or says nothing of them, is about the batch as a whole.
  if (typeof report === "string" || !report.rejected?.length) return rejectionOf(response);
  return partial(report.rejected, sent, report.duplicates);
}

function partial(
  rejections: readonly Rejection[],
  { ranges }: SentEvents,
  duplicates: number | undefined,
): PartiallyAccepted {
  const ids = [...eachId(ranges)];
  const rejected = rejections.map(({ index, error }) => {
    return { id: ids[index]!, status: UNPROCESSABLE, response: error.slice(0, KEPT_RESPONSE_CHARS) };
  });
  return { kind: "partial", rejected, undelivered: [], ...(duplicates !== undefined && { duplicates }) };
}

function isJson(event: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(event));
    return true;
  } catch {
    return false;
  }
}
