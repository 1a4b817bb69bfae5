/**
 * Having the good events of a batch kept, and what the publisher is answered.
 *
 * @module
 */

import { type EventIds, selectIds } from "../wire/event_ids.ts";
import type { BatchReport } from "../wire/rejections.ts";
import { ServiceUnavailable } from "./admission.ts";
import type { ParsedEvents } from "./batch_parser.ts";
import { logTaken } from "./log.ts";
import type { AcceptedBatch, RequestVersion, Sink, StoreResult } from "./sinks/sink.ts";
import type { CollectorStatus } from "./status.ts";

/** Where batches go. */
export interface IngestDependencies {
  readonly sink: Pick<Sink, "store">;
  readonly status: CollectorStatus;
}

/** What is known of a batch besides its events. */
export interface BatchMeta {
  readonly version: RequestVersion;
  readonly keyName: string;
  /** Whose ids they are: see {@link AcceptedBatch}. */
  readonly source: string;
  /** The ids of the events, those at fault included; undefined: they are not known. */
  readonly ids: EventIds | undefined;
}

/**
 * Has those events kept that are not at fault.
 *
 * @throws {ServiceUnavailable} they are not kept
 */
export async function ingest(
  parsed: ParsedEvents,
  meta: BatchMeta,
  to: IngestDependencies,
): Promise<Required<BatchReport>> {
  const batch = acceptedBatch(parsed, meta);
  const { duplicates, rejected: unkept = [] } = await store(batch, to);
  const indexes = unkept.length === 0 ? [] : goodIndexes(parsed);
  for (const { index, error } of unkept) parsed.rejections.add(indexes[index]!, error);
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

function acceptedBatch({ events, rejections }: ParsedEvents, meta: BatchMeta): AcceptedBatch {
  if (rejections.count === 0) return { events, ...meta };
  const isGood = (index: number): boolean => !rejections.has(index);
  return { ...meta, events: events.filter(isGood), ids: meta.ids && selectIds(meta.ids, isGood) };
}

async function store(batch: AcceptedBatch, { sink, status }: IngestDependencies): Promise<StoreResult> {
  if (batch.events.count === 0) return { stored: 0, duplicates: 0 };
  try {
    return await status.watch(() => sink.store(batch));
  } catch (cause) {
    const { retryAfterS } = status;
    throw new ServiceUnavailable("not_stored", "The events were not stored. Send them again.", {
      retryAfterS,
      cause,
    });
  }
}

function count(
  status: CollectorStatus,
  keyName: string,
  { accepted, duplicates, rejected }: Required<BatchReport>,
): void {
  const counts = status.of(keyName);
  counts.stored += accepted - duplicates;
  counts.duplicates += duplicates;
  counts.rejected += rejected.length;
  status.batchEvents.observe(accepted + rejected.length);
}
