/**
 * What a collector says, all of it. Whoever sends it nonsense does not fill its disk: of each kind of rejection one a
 * second is told.
 *
 * @module
 */
import { getLogger } from "@logtape/logtape";
import { type EventIds, formatEventIds } from "../wire/event_ids.ts";
import { IGNORED_IDS_REASONS, type IgnoredIdsReason } from "./status.ts";

const logger = getLogger(["eventspool", "collector"]);

const EVERY_MS = 1_000;

/** By status, or reason: when one was told last, and how many were not since. */
const told = new Map<number | string, { atMs: number; untold: number }>();

/** Of a batch that was taken, wholly or in part. */
export interface TakenBatch {
  readonly stored: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly version: string;
  readonly keyName: string;
  readonly ids: EventIds | undefined;
}

export function logTaken(batch: TakenBatch): void {
  const { ids, ...properties } = batch;
  logger.debug("Took {stored} events, {duplicates} of them again, and rejected {rejected}", {
    ...properties,
    eventIds: ids && formatEventIds(ids.queue, ids.ranges),
  });
}

/** Once a minute for each reason: old publishers, which sign no ids, send them with every request. */
export function logIgnoredIds(keyName: string, reason: IgnoredIdsReason, header: string): void {
  if (!isTime(reason, 60_000)) return;
  logger.warn("Ignored the Event-Ids of key {keyName}, so its events may be stored twice: {reason}", {
    keyName,
    reason: IGNORED_IDS_REASONS[reason],
    eventIds: header.slice(0, 200),
  });
}

/** A rejection of a batch. */
export interface LoggedRejection {
  readonly status: number;
  readonly message: string;
  readonly path: string;
  readonly cause: unknown;
}

export function logRejection(rejection: LoggedRejection): void {
  const { status } = rejection;
  const untold = told.get(status)?.untold ?? 0;
  if (!isTime(status)) return;
  const { cause } = rejection;
  const reason = status < 500 && cause instanceof Error ? cause.message : cause; // no stack for others' mistakes
  const properties = { ...rejection, cause: reason, ...(untold > 0 && { untold }) };
  if (status >= 500) logger.error("Failed a batch with {status}: {message}", properties);
  else logger.warn("Rejected a batch with {status}: {message}", properties);
}

function isTime(kind: number | string, everyMs: number = EVERY_MS): boolean {
  const now = performance.now();
  const last = told.get(kind);
  if (last !== undefined && now - last.atMs < everyMs) {
    last.untold++;
    return false;
  }
  told.set(kind, { atMs: now, untold: 0 });
  return true;
}
