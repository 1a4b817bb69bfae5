/**
 * Having the good events of a batch kept, and what the publisher is answered.
 *
 * @module
 */

import { type EventIds, parseEventIds, selectIds } from "../wire/event_ids.ts";
import { Unavailable } from "./admission.ts";
import type { ParsedEvents, Rejection } from "./events.ts";
import { logIgnoredIds, logTaken } from "./log.ts";
import type { BatchVersion, EventList } from "./sinks/event_list.ts";
import type { AcceptedBatch, Sink, Stored } from "./sinks/sink.ts";
import type { CollectorStatus } from "./status.ts";

/** Where batches go. */
export interface Destination {
  readonly sink: Pick<Sink, "store">;
  readonly status: CollectorStatus;
}

/** What is known of a batch besides its events. */
export interface BatchMeta {
  readonly version: BatchVersion;
  readonly keyName: string;
  /** The header `Event-Ids`, as it came. */
  readonly eventIds: string | undefined;
}

/** What the publisher is told; `accepted` and `rejected` are all events of the request together. */
export interface IngestResult {
  /** Events that are kept now, those that were before included. */
  readonly accepted: number;
  /** Those that were kept before. */
  readonly duplicates: number;
  /** Those at fault. */
  readonly rejected: readonly Rejection[];
}

/**
 * Has those events kept that are not at fault.
 *
 * @throws {Unavailable} they are not kept
 */
export async function ingest(parsed: ParsedEvents, meta: BatchMeta, to: Destination): Promise<IngestResult> {
  const batch = acceptedBatch(parsed, meta, to.status);
  const { duplicates, rejected: unkept = [] } = await store(batch, to);
  const indexes = unkept.length === 0 ? [] : goodIndexes(parsed);
  for (const { index, reason } of unkept) parsed.rejections.add(indexes[index]!, reason);
  const rejected = parsed.rejections.list();
  const accepted = batch.events.count - unkept.length;
  count(to.status, meta.keyName, { accepted, duplicates, rejected });
  logTaken({ ...meta, stored: accepted, duplicates, rejected: rejected.length });
  return { accepted, duplicates, rejected };
}

/** The indexes in the request of the events that the sink was given. */
function goodIndexes({ events, rejections }: ParsedEvents): number[] {
  return Array.from({ length: events.count }, (_, index) => index).filter((index) => !rejections.has(index));
}

function acceptedBatch(
  { events, rejections }: ParsedEvents,
  { version, keyName, eventIds }: BatchMeta,
  status: CollectorStatus,
): AcceptedBatch {
  const ids = usableIds(eventIds, events, { status, keyName });
  if (rejections.count === 0) return { events, version, keyName, ids };
  const isGood = (index: number): boolean => !rejections.has(index);
  return { events: events.filter(isGood), version, keyName, ids: ids && selectIds(ids, isGood) };
}

/**
 * The ids of the events. A header that does not name them one by one is passed over: the events are good, and
 * an answer of 400 would make dead letters of them. That they may be stored twice is said in the log.
 */
function usableIds(
  header: string | undefined,
  events: EventList,
  { status, keyName }: { status: CollectorStatus; keyName: string },
): EventIds | undefined {
  if (header === undefined) return undefined;
  const ids = parseEventIds(header);
  if (ids?.count === events.count) return ids;
  status.ignoredEventIds++;
  logIgnoredIds(keyName, header);
  return undefined;
}

async function store(batch: AcceptedBatch, { sink, status }: Destination): Promise<Stored> {
  if (batch.events.count === 0) return { stored: 0, duplicates: 0 };
  try {
    return await status.watch(() => sink.store(batch));
  } catch (cause) {
    const { retryAfterS } = status;
    throw new Unavailable("not_stored", "The events were not stored. Send them again.", {
      retryAfterS,
      cause,
    });
  }
}

function count(
  status: CollectorStatus,
  keyName: string,
  { accepted, duplicates, rejected }: IngestResult,
): void {
  const counts = status.of(keyName);
  counts.stored += accepted - duplicates;
  counts.duplicates += duplicates;
  counts.rejected += rejected.length;
  status.batchEvents.observe(accepted + rejected.length);
}
