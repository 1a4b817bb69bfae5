import { type AcceptedBatch, EventList } from "../../src/collector/sinks/sink.ts";
import { parseEventIds } from "../../src/wire/event_ids.ts";

/** The UUID of a queue, by number. */
export function queueUuid(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
}

/** The events of a body. */
function eventList(events: readonly string[]): EventList {
  const bounds: number[] = [];
  let at = 1;
  for (const event of events) {
    const size = Buffer.byteLength(event);
    bounds.push(at, at + size);
    at += size + 1;
  }
  return new EventList(Buffer.from(`[${events.join(",")}]`), Uint32Array.from(bounds));
}

/** A batch of these events, with `ids` in the format of `Event-Ids`. */
export function batchOf(events: readonly string[], ids?: string): AcceptedBatch {
  const parsed = ids === undefined ? undefined : parseEventIds(ids);
  if (ids !== undefined && parsed === undefined) throw new Error(`no Event-Ids: ${ids}`);
  return { events: eventList(events), version: "2j", keyName: "host", source: "host", ids: parsed };
}

/** A batch of queue number 1 whose events are their ids. */
export function numberedBatch(firstId: number, lastId: number): AcceptedBatch {
  const events = Array.from({ length: lastId - firstId + 1 }, (_, index) => String(firstId + index));
  return batchOf(events, `${queueUuid(1)}:${firstId}-${lastId}`);
}
