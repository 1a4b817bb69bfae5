/**
 * The ids of all events that a sink has stored.
 *
 * The index may forget ids. Then an event that is sent again is stored twice. It never reports an event as stored that
 * was not: that event would be lost. So at its limits it forgets ids, and never rounds up to "all ids below".
 *
 * Ids are unique within their source: the key that signed them, or the keys that replace each other. One source can
 * neither drop events of another nor make the index forget their ids.
 */
import { type EventIds, formatIdRange, type IdRange, parseEventIds } from "../../wire/event_ids.ts";

/** The limits of the index. */
export interface DedupLimits {
  /** Queues per source; the queue that sent nothing for the longest time is forgotten first. Default: 65,536, some 20 MiB. */
  readonly maxQueues: number;
  /** Ranges per source; forgotten with their queue. Default: 1,048,576, which take 16 MiB. */
  readonly maxRanges: number;
  /**
   * Ranges per queue; the lowest ids, which are the oldest, are forgotten first. Default: 4,096, enough for the 256
   * batches that a publisher may have in flight and the gaps of recent dead letters.
   */
  readonly maxRangesPerQueue: number;
  /**
   * The limit of all sources together, as a multiple of the limits of one source. Beyond it the largest source forgets
   * first, so a source within its share loses nothing. Default: 4.
   */
  readonly maxFullSources: number;
}

/** The events of a batch that are stored already, by index. */
export interface SeenEvents {
  /** How many. */
  readonly count: number;
  has(index: number): boolean;
}

const DEFAULT_LIMITS: DedupLimits = {
  maxQueues: 65_536,
  maxRanges: 1_048_576,
  maxRangesPerQueue: 4_096,
  maxFullSources: 4,
};

const NONE: SeenEvents = { count: 0, has: () => false };

/** The ids of a source, by queue. The queue with the latest batch is last. */
class SeenSource {
  readonly queues = new Map<string, IdRanges>();
  rangeCount = 0;
}

/** A queue of a source. */
export interface SourceQueue {
  readonly source: string;
  readonly queue: string;
}

/** The ids of stored events, by source and queue. */
export class DedupIndex {
  readonly #sources = new Map<string, SeenSource>();
  readonly #limits: DedupLimits;
  readonly #onForget: (queue: SourceQueue) => void;
  #queueCount = 0;
  #rangeCount = 0;

  /** @param onForget called with each queue that is forgotten */
  constructor(limits: Partial<DedupLimits> = {}, onForget: (queue: SourceQueue) => void = () => {}) {
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#onForget = onForget;
  }

  /** Finds the events of a batch that are stored already: none unless there is one id per event. */
  find(source: string, ids: EventIds, eventCount: number): SeenEvents {
    const seen = this.#sources.get(source)?.queues.get(ids.queue);
    if (seen === undefined || ids.count !== eventCount) return NONE;
    return ids.ranges.some((range) => seen.overlaps(range)) ? findEach(seen, ids) : NONE;
  }

  /** Adds the ids of a batch whose events are all stored, if there is one id per event. */
  add(source: string, ids: EventIds, eventCount: number): void {
    if (ids.count === eventCount) this.#add(source, ids.queue, ids.ranges);
  }

  /** All queues. Within a source, the queue with the oldest batch is first. */
  *queues(): Generator<SourceQueue> {
    for (const [source, { queues }] of this.#sources)
      for (const queue of queues.keys()) yield { source, queue };
  }

  /** The ids of a queue as a line of text: `SOURCE QUEUE_UUID:1-100,105`. Undefined: none. */
  format({ source, queue }: SourceQueue): string | undefined {
    const seen = this.#sources.get(source)?.queues.get(queue);
    return seen && `${formatSource(source)} ${queue}:${seen}`;
  }

  /** Adds the ids of a line from {@link format}. False: it is not such a line. */
  restore(line: string): boolean {
    const [name = "", text = "", ...rest] = line.split(" ");
    const source = parseSource(name);
    const ids = parseEventIds(text);
    if (source === undefined || ids === undefined || rest.length > 0) return false;
    this.#add(source, ids.queue, ids.ranges);
    return true;
  }

  #add(name: string, queue: string, ranges: readonly IdRange[]): void {
    const source = this.#sources.get(name) ?? new SeenSource();
    this.#sources.set(name, source);
    const seen = source.queues.get(queue) ?? new IdRanges();
    this.#count(source, { queues: source.queues.has(queue) ? 0 : 1, ranges: -seen.length });
    source.queues.delete(queue);
    source.queues.set(queue, seen); // now the last one
    for (const range of ranges) seen.add(range);
    while (seen.length > this.#limits.maxRangesPerQueue) seen.dropLowest();
    this.#count(source, { queues: 0, ranges: seen.length });
    this.#bound(name, source);
  }

  #count(source: SeenSource, { queues, ranges }: { queues: number; ranges: number }): void {
    this.#queueCount += queues;
    source.rangeCount += ranges;
    this.#rangeCount += ranges;
  }

  #bound(name: string, source: SeenSource): void {
    const { maxQueues, maxRanges, maxFullSources } = this.#limits;
    while (source.queues.size > maxQueues || (source.rangeCount > maxRanges && source.queues.size > 1))
      this.#forgetOldest(name, source);
    while (this.#queueCount > maxQueues * maxFullSources)
      this.#forgetOldest(...this.#largest(({ queues }) => queues.size));
    while (this.#rangeCount > maxRanges * maxFullSources)
      this.#forgetOldest(...this.#largest(({ rangeCount }) => rangeCount));
  }

  #forgetOldest(name: string, source: SeenSource): void {
    const [[queue, seen] = []] = source.queues;
    if (queue === undefined || seen === undefined) return;
    source.queues.delete(queue);
    this.#count(source, { queues: -1, ranges: -seen.length });
    if (source.queues.size === 0) this.#sources.delete(name);
    this.#onForget({ source: name, queue });
  }

  #largest(size: (source: SeenSource) => number): [name: string, source: SeenSource] {
    return [...this.#sources].reduce((one, other) => (size(other[1]) > size(one[1]) ? other : one));
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

/** Formats a source as one word: names of keys may hold spaces. */
export function formatSource(source: string): string {
  return encodeURIComponent(source.toWellFormed());
}

/** Parses the text of {@link formatSource}. Undefined: it is not valid. */
export function parseSource(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/**
 * A set of ids as ascending ranges; adjacent ranges are merged. Ids mostly come in order, which costs a comparison. A
 * late range costs a binary search and a splice.
 */
class IdRanges {
  /** The first and last id of each range, ascending: two arrays of numbers are smaller than objects. */
  readonly #firsts: number[] = [];
  readonly #lasts: number[] = [];

  /** The number of ranges. */
  get length(): number {
    return this.#firsts.length;
  }

  has(id: number): boolean {
    return this.#firsts[this.#search(id)]! <= id;
  }

  /** Whether any id of a range is in the set. */
  overlaps({ firstId, lastId }: IdRange): boolean {
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

  /** Removes the range of the lowest ids. */
  dropLowest(): void {
    this.#firsts.shift();
    this.#lasts.shift();
  }

  /** In the format of `Event-Ids`: `101-350,352`. */
  toString(): string {
    return this.#firsts.map((firstId, at) => formatIdRange({ firstId, lastId: this.#lasts[at]! })).join(",");
  }

  /** The index of the first range that ends at `id` or later; the number of ranges if there is none. */
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
