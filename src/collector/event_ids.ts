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
