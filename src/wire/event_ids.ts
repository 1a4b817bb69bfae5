/**
 * The header `Event-Ids`, read: which rows of which queue a batch's events are.
 *
 * @module
 */

/** A range of ids, both included. */
export interface IdRange {
  readonly firstId: number;
  readonly lastId: number;
}

/** Rows of one queue, in the order of their events. */
export interface EventIds {
  /** The UUID of the queue's file. */
  readonly queue: string;
  /** In the order of their events, which is ascending. */
  readonly ranges: readonly IdRange[];
  /** How many ids there are. */
  readonly count: number;
}

const HEADER = /^([\da-f-]{36}):(\d{1,16}(?:-\d{1,16})?(?:,\d{1,16}(?:-\d{1,16})?)*)$/i;

/**
 * Reads `QUEUE_UUID:101-350,352`, as the publisher's `formatEventIds` writes it. Undefined: it is not that, or
 * its ranges are not in ascending order.
 */
export function parseEventIds(header: string): EventIds | undefined {
  const [, queue, list] = HEADER.exec(header) ?? [];
  if (queue === undefined || list === undefined) return undefined;
  const ranges: IdRange[] = [];
  let count = 0;
  let lastId = 0;
  for (const text of list.split(",")) {
    const range = parseRange(text);
    if (range.firstId <= lastId || range.lastId < range.firstId) return undefined;
    if (!Number.isSafeInteger(range.lastId)) return undefined;
    ranges.push(range);
    count += range.lastId - range.firstId + 1;
    lastId = range.lastId;
  }
  return { queue: queue.toLowerCase(), ranges, count };
}

function parseRange(text: string): IdRange {
  const [first, last = first] = text.split("-");
  return { firstId: Number(first), lastId: Number(last) };
}

/** The ids of those events for which `isWanted` holds, by their index. */
export function selectIds({ queue, ranges }: EventIds, isWanted: (index: number) => boolean): EventIds {
  const wanted: IdRange[] = [];
  let index = 0;
  for (const { firstId, lastId } of ranges) {
    let from = firstId;
    for (let id = firstId; id <= lastId; id++) {
      if (isWanted(index++)) continue;
      if (id > from) wanted.push({ firstId: from, lastId: id - 1 });
      from = id + 1;
    }
    if (from <= lastId) wanted.push({ firstId: from, lastId });
  }
  return {
    queue,
    ranges: wanted,
    count: wanted.reduce((sum, range) => sum + range.lastId - range.firstId + 1, 0),
  };
}

/** The header's name. */
export const EVENT_IDS_HEADER = "Event-Ids";

/**
 * `QUEUE_UUID:101-350`, or `QUEUE_UUID:101` for one event: the queue file's UUID and its row ids. It says
 * the same of the same rows on every retry, however they are batched again, so a collector can drop
 * duplicates event by event. The grammar allows several ranges, with commas between them.
 */
export function formatEventIds(queueUuid: string, firstId: number, lastId: number): string {
  return `${queueUuid}:${firstId === lastId ? firstId : `${firstId}-${lastId}`}`;
}
