/**
 * Which events a sink has kept already, by the ids their publishers gave them.
 *
 * It may forget, and then an event that is sent again is kept twice. It never says of an event that was not
 * kept that it was: that one would be lost. So at its bounds ids are forgotten, never rounded up to "all below".
 *
 * @module
 */
import {
  MAX_SEEN_BATCHES,
  MAX_SEEN_QUEUES,
  MAX_SEEN_RANGES,
  MAX_SEEN_RANGES_PER_QUEUE,
} from "../../limits.ts";
import { type EventIds, type IdRange, parseEventIds } from "../../wire/event_ids.ts";

/** How much is remembered. Defaults: those of limits.ts. */
export interface DedupLimits {
  /** Queues; the one that sent nothing for longest is forgotten first. */
  readonly maxQueues: number;
  /** Ranges of all queues together; forgotten with their queue. */
  readonly maxRanges: number;
  /** Ranges of a queue; the lowest ids, which are the oldest, are forgotten first. */
  readonly maxRangesPerQueue: number;
  /** Batches of a queue whose ids could not be matched with their events; the oldest is forgotten first. */
  readonly maxBatches: number;
}

/** Which events of a batch are kept already, by their index. */
export interface SeenEvents {
  /** How many. */
  readonly count: number;
  has(index: number): boolean;
}

/** What is known of one queue. */
interface SeenQueue {
  readonly ids: IdRanges;
  /** `101-350#249`: batches with fewer events than ids, by ranges and number of events. */
  readonly batches: Set<string>;
}

const DEFAULT_LIMITS: DedupLimits = {
  maxQueues: MAX_SEEN_QUEUES,
  maxRanges: MAX_SEEN_RANGES,
  maxRangesPerQueue: MAX_SEEN_RANGES_PER_QUEUE,
  maxBatches: MAX_SEEN_BATCHES,
};

const NONE: SeenEvents = { count: 0, has: () => false };

/**
 * The ids that were seen, by queue.
 *
 * `Event-Ids` also names rows that somebody deleted from the queue's file while they were leased: then a batch
 * has more ids than events, and none can be told from the other. Such a batch is known again as a whole: by the
 * same ranges and number of events, or when all its ids were seen.
 */
export class DedupIndex {
  /** In the order in which queues were last heard of. */
  readonly #queues = new Map<string, SeenQueue>();
  readonly #limits: DedupLimits;
  readonly #onForget: (queue: string) => void;
  #rangeCount = 0;

  /** @param onForget told of each queue that is forgotten */
  constructor(limits: Partial<DedupLimits> = {}, onForget: (queue: string) => void = () => {}) {
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#onForget = onForget;
  }

  /** Which events of a batch were seen. */
  find(ids: EventIds, eventCount: number): SeenEvents {
    const queue = this.#queues.get(ids.queue);
    if (queue === undefined) return NONE;
    if (ids.ranges.every((range) => queue.ids.covers(range)) || hasBatch(queue, ids, eventCount))
      return { count: eventCount, has: () => true };
    if (ids.count !== eventCount || !ids.ranges.some((range) => queue.ids.meets(range))) return NONE;
    return findEach(queue.ids, ids);
  }

  /** Notes that all events of a batch are kept. */
  add(ids: EventIds, eventCount: number): void {
    const queue = this.#touch(ids.queue);
    this.#rangeCount -= queue.ids.length;
    if (ids.count === eventCount) for (const range of ids.ranges) queue.ids.add(range);
    else queue.batches.add(batchKey(ids, eventCount));
    this.#bound(queue);
  }

  /** The queues, that which was heard of longest ago first. */
  queues(): Iterable<string> {
    return this.#queues.keys();
  }

  /** What is known of a queue, as a line of text: `QUEUE_UUID:1-100,105`, then its batches. Undefined: nothing. */
  format(name: string): string | undefined {
    const queue = this.#queues.get(name);
    return queue && [`${name}:${queue.ids}`, ...queue.batches].join(" ");
  }

  /** Takes up again what {@link format} wrote. False: it is no such text. */
  restore(line: string): boolean {
    const [, name, ranges, batches] = /^([\da-f-]{36}):([\d,-]*)((?: [\d,-]+#\d+)*)$/.exec(line) ?? [];
    if (name === undefined) return false;
    const ids = ranges ? parseEventIds(`${name}:${ranges}`) : undefined;
    if (ranges && ids === undefined) return false;
    const queue = this.#touch(name);
    this.#rangeCount -= queue.ids.length;
    for (const range of ids?.ranges ?? []) queue.ids.add(range);
    for (const batch of batches!.split(" ").filter(Boolean)) queue.batches.add(batch);
    this.#bound(queue);
    return true;
  }

  /** Makes a queue the one that was heard of last. */
  #touch(name: string): SeenQueue {
    const queue = this.#queues.get(name) ?? { ids: new IdRanges(), batches: new Set() };
    this.#queues.delete(name);
    this.#queues.set(name, queue);
    return queue;
  }

  #bound(queue: SeenQueue): void {
    while (queue.ids.length > this.#limits.maxRangesPerQueue) queue.ids.dropLowest();
    for (const batch of queue.batches) {
      if (queue.batches.size <= this.#limits.maxBatches) break;
      queue.batches.delete(batch);
    }
    this.#rangeCount += queue.ids.length;
    this.#forgetQueues();
  }

  #forgetQueues(): void {
    const { maxQueues, maxRanges } = this.#limits;
    for (const [name, { ids }] of this.#queues) {
      if (this.#queues.size <= maxQueues && (this.#rangeCount <= maxRanges || this.#queues.size === 1))
        return;
      this.#rangeCount -= ids.length;
      this.#queues.delete(name);
      this.#onForget(name);
    }
  }
}

function findEach(seen: IdRanges, ids: EventIds): SeenEvents {
  const flags = new Uint8Array(ids.count);
  let count = 0;
  let index = 0;
  for (const { firstId, lastId } of ids.ranges)
    for (let id = firstId; id <= lastId; id++, index++)
      if (seen.has(id)) {
        flags[index] = 1;
        count++;
      }
  return { count, has: (at) => flags[at] === 1 };
}

function hasBatch({ batches }: SeenQueue, ids: EventIds, eventCount: number): boolean {
  return batches.size > 0 && batches.has(batchKey(ids, eventCount));
}

function batchKey({ ranges }: EventIds, eventCount: number): string {
  return `${formatRanges(ranges)}#${eventCount}`;
}

/** As the header has them: `QUEUE_UUID:101-350,352`. */
export function formatIds({ queue, ranges }: EventIds): string {
  return `${queue}:${formatRanges(ranges)}`;
}

function formatRanges(ranges: EventIds["ranges"]): string {
  return ranges.map(({ firstId, lastId }) => formatRange(firstId, lastId)).join(",");
}

/**
 * A set of ids as ascending ranges; ranges that touch are one. Ids mostly come in order, which costs a
 * comparison; a range that comes late costs a binary search and a splice.
 */
class IdRanges {
  /** First and last id of each range, by turns, ascending: two arrays of numbers are smaller than objects. */
  readonly #firsts: number[] = [];
  readonly #lasts: number[] = [];

  /** How many ranges there are. */
  get length(): number {
    return this.#firsts.length;
  }

  has(id: number): boolean {
    return this.#firsts[this.#search(id)]! <= id;
  }

  /** Whether all ids of a range are in it. */
  covers({ firstId, lastId }: IdRange): boolean {
    const at = this.#search(firstId);
    return this.#firsts[at]! <= firstId && this.#lasts[at]! >= lastId;
  }

  /** Whether any id of a range is in it. */
  meets({ firstId, lastId }: IdRange): boolean {
    return this.#firsts[this.#search(firstId)]! <= lastId;
  }

  add({ firstId, lastId }: IdRange): void {
    const from = this.#search(firstId - 1);
    let to = from;
    while (to < this.length && this.#firsts[to]! <= lastId + 1) to++;
    const first = from < to ? Math.min(firstId, this.#firsts[from]!) : firstId;
    const last = from < to ? Math.max(lastId, this.#lasts[to - 1]!) : lastId;
    this.#firsts.splice(from, to - from, first);
    this.#lasts.splice(from, to - from, last);
  }

  /** Forgets the range of the lowest ids. */
  dropLowest(): void {
    this.#firsts.shift();
    this.#lasts.shift();
  }

  /** As `Event-Ids` has them: `101-350,352`. */
  toString(): string {
    return this.#firsts.map((first, at) => formatRange(first, this.#lasts[at]!)).join(",");
  }

  /** Where the first range stands that ends at `id` or beyond; past the end where there is none. */
  #search(id: number): number {
    let low = this.length;
    if (low === 0 || this.#lasts[low - 1]! < id) return low;
    let high = low - 1;
    low = 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#lasts[middle]! < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** As `Event-Ids` has it: `101-350`, or `352`. */
function formatRange(firstId: number, lastId: number): string {
  return firstId === lastId ? String(firstId) : `${firstId}-${lastId}`;
}
