/**
 * Every sentence that a collector logs. Of each kind of rejection, one per second is logged, so that bad requests cannot
 * fill the disk.
 */
import { getLogger } from "@logtape/logtape";
import { type EventIds, formatEventIds } from "../wire/event_ids.ts";
import { IGNORED_IDS_REASONS, type IgnoredIdsReason } from "./status.ts";

const logger = getLogger(["eventspool", "collector"]);

const REJECTION_INTERVAL_MS = 1_000;
const IGNORED_IDS_INTERVAL_MS = 60_000;

/** By status or reason: when it was logged last, and how many were not logged since. */
const logged = new Map<number | string, { atMs: number; suppressed: number }>();

/** A batch of which at least a part was accepted. */
export interface AcceptedBatchLog {
  readonly stored: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly version: string;
  readonly keyName: string;
  readonly ids: EventIds | undefined;
}

export function logAccepted(batch: AcceptedBatchLog): void {
  const { ids, ...properties } = batch;
  logger.debug("Accepted {stored} events, {duplicates} of them duplicates, and rejected {rejected}", {
    ...properties,
    eventIds: ids && formatEventIds(ids.queue, ids.ranges),
  });
}

/** Logs once a minute per reason: old publishers send unsigned ids with every request. */
export function logIgnoredIds(keyName: string, reason: IgnoredIdsReason, header: string): void {
  if (!isDue(reason, IGNORED_IDS_INTERVAL_MS)) return;
  logger.warn("Ignored the Event-Ids of key {keyName}, so its events may be stored twice: {reason}", {
    keyName,
    reason: IGNORED_IDS_REASONS[reason],
    eventIds: header.slice(0, 200),
  });
}

/** A rejected batch. */
export interface LoggedRejection {
  readonly status: number;
  readonly message: string;
  readonly path: string;
  readonly cause: unknown;
}

export function logRejection(rejection: LoggedRejection): void {
  const { status } = rejection;
  const suppressed = logged.get(status)?.suppressed ?? 0;
  if (!isDue(status, REJECTION_INTERVAL_MS)) return;
  const { cause } = rejection;
  const reason = status < 500 && cause instanceof Error ? cause.message : cause; // no stack for mistakes of a publisher
  const properties = { ...rejection, cause: reason, ...(suppressed > 0 && { suppressed }) };
  if (status >= 500) logger.error("Failed a batch with {status}: {message}", properties);
  else logger.warn("Rejected a batch with {status}: {message}", properties);
}

/** Whether a kind of message may be logged again; counts it otherwise. */
function isDue(kind: number | string, intervalMs: number): boolean {
  const now = performance.now();
  const last = logged.get(kind);
  if (last !== undefined && now - last.atMs < intervalMs) {
    last.suppressed++;
    return false;
  }
  logged.set(kind, { atMs: now, suppressed: 0 });
  return true;
}
