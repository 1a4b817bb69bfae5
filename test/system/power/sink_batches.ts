import type { AcceptedBatch } from "../../../src/collector/sinks/sink.ts";
import type { IdRange } from "../../../src/wire/event_ids.ts";
import { batchOf, queueUuid } from "../../support/batches.ts";

const EVENTS = 7;

/** The ids of batch number `nth`, from 1. */
export function batchNumber(nth: number): IdRange {
  return { firstId: (nth - 1) * EVENTS + 1, lastId: nth * EVENTS };
}

/** Batch number `nth`: events of their ids and some bytes, so that some writes cover several sectors. */
export function batchOfSink(nth: number): AcceptedBatch {
  const { firstId, lastId } = batchNumber(nth);
  const events = Array.from({ length: EVENTS }, (_, index) => eventOf(firstId + index));
  return batchOf(events, `${queueUuid(1)}:${firstId}-${lastId}`);
}

/** The event with an id. */
export function eventOf(id: number): string {
  return `"${id} ${"x".repeat(id % 5 === 0 ? 900 : 20)}"`;
}
