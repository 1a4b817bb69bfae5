/**
 * The header `Event-Ids: QUEUE_UUID:101-350,352`. It names the events of a batch: the UUID of the queue file, and their
 * row ids. An event has the same name on every attempt and in every batch, so that a collector can drop duplicates
 * event by event.
 */

/** The header's name. */
export const EVENT_IDS_HEADER = "Event-Ids";

/** A range of ids, both included. */
export interface IdRange {
  /** The first id. */
  readonly firstId: number;
  /** The last id, included. */
  readonly lastId: number;
}

/** The ids of a batch, in the order of its events. */
export interface EventIds {
  /** The UUID of the queue file. */
  readonly queue: string;
  /** In ascending order, which is the order of the events. */
  readonly ranges: readonly IdRange[];
  /** How many ids there are. */
  readonly count: number;
}

/** Formats the header. */
export function formatEventIds(queue: string, ranges: readonly IdRange[]): string {
  return `${queue}:${ranges.map(formatIdRange).join(",")}`;
}

/** `101-350`, or `352`. */
export function formatIdRange({ firstId, lastId }: IdRange): string {
  return firstId === lastId ? String(firstId) : `${firstId}-${lastId}`;
}

const HEADER = /^([\da-f-]{36}):(\d{1,16}(?:-\d{1,16})?(?:,\d{1,16}(?:-\d{1,16})?)*)$/i;

/** Parses the header. Undefined: its format is wrong, or its ranges are not in ascending order. */
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

/** Each id, in the order of the events. */
export function* eachId(ranges: readonly IdRange[]): Generator<number> {
  for (const { firstId, lastId } of ranges) for (let id = firstId; id <= lastId; id++) yield id;
}

/** Ascending ids as ranges. */
export function rangesOf(ids: Iterable<number>): IdRange[] {
  const ranges: { firstId: number; lastId: number }[] = [];
  for (const id of ids) {
    const last = ranges.at(-1);
    if (last?.lastId === id - 1) last.lastId = id;
    else ranges.push({ firstId: id, lastId: id });
  }
  return ranges;
}

/** The ids of the events that `isWanted` selects by their index. */
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
  return { queue, ranges: wanted, count: countIds(wanted) };
}

function countIds(ranges: readonly IdRange[]): number {
  return ranges.reduce((sum, { firstId, lastId }) => sum + lastId - firstId + 1, 0);
}
