/** Stores the valid events of a batch, and reports to the publisher. */
import { selectIds } from "../wire/event_ids.ts";
import type { BatchReport } from "../wire/rejections.ts";
import { ServiceUnavailable } from "./admission.ts";
import type { ParsedEvents } from "./batch_parser.ts";
import { logAccepted } from "./log.ts";
import type { AcceptedBatch, Sink, StoreResult } from "./sinks/sink.ts";
import type { CollectorStatus } from "./status.ts";

/** Where batches are stored and counted. */
export interface IngestDependencies {
  readonly sink: Pick<Sink, "store">;
  readonly status: CollectorStatus;
}

/** A batch without its events. The ids are those of all events, also of the rejected ones. */
export type BatchMeta = Omit<AcceptedBatch, "events">;

/**
 * Stores the events that are not rejected.
 *
 * @throws {ServiceUnavailable} they are not stored
 */
export async function ingest(
  parsed: ParsedEvents,
  meta: BatchMeta,
  to: IngestDependencies,
): Promise<Required<BatchReport>> {
  const batch = acceptedBatch(parsed, meta);
  const { duplicates, rejected: rejectedBySink = [] } = await store(batch, to);
  const indexes = rejectedBySink.length === 0 ? [] : validIndexes(parsed);
  for (const { index, error } of rejectedBySink) parsed.rejections.add(indexes[index]!, error);
  const rejected = parsed.rejections.list();
  const accepted = batch.events.count - rejectedBySink.length;
  count(to.status, meta.keyName, { accepted, duplicates, rejected });
  logAccepted({ ...meta, stored: accepted, duplicates, rejected: rejected.length });
  return { accepted, duplicates, rejected };
}

/** The indexes in the request of the events that the sink got. */
function validIndexes({ events, rejections }: ParsedEvents): number[] {
  return Array.from({ length: events.count }, (_, index) => index).filter((index) => !rejections.has(index));
}

function acceptedBatch({ events, rejections }: ParsedEvents, meta: BatchMeta): AcceptedBatch {
  if (rejections.count === 0) return { events, ...meta };
  const isValid = (index: number): boolean => !rejections.has(index);
  return { ...meta, events: events.filter(isValid), ids: meta.ids && selectIds(meta.ids, isValid) };
}

async function store(batch: AcceptedBatch, { sink, status }: IngestDependencies): Promise<StoreResult> {
  if (batch.events.count === 0) return { stored: 0, duplicates: 0 };
  try {
    return await status.measureStore(() => sink.store(batch));
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
  const counts = status.countsOf(keyName);
  counts.stored += accepted - duplicates;
  counts.duplicates += duplicates;
  counts.rejected += rejected.length;
  status.batchEvents.observe(accepted + rejected.length);
}
