/**
 * Which events a sink has kept already, by the ids their publishers gave them.
 *
 * It may forget, and then an event that is sent again is kept twice. It never says of an event that was not
 * kept that it was: that one would be lost. So at its bounds ids are forgotten, never rounded up to "all below".
 *
 * Ids count within their source: the key that signed them, or the keys that replace each other. What one source sends
 * neither drops an event of another nor makes the index forget it.
 *
 * @module
 */
import { type EventIds, formatIdRange, type IdRange, parseEventIds } from "../../wire/event_ids.ts";

/** How much is remembered. */
export interface DedupLimits {
  /** Queues of a source; the one that sent nothing for longest is forgotten first. Default: 65,536, some 20 MiB. */
  readonly maxQueues: number;
  /** Ranges of a source; forgotten with their queue. Default: 1,048,576, which is 16 MiB. */
  readonly maxRanges: number;
  /**
   * Ranges of a queue; the lowest ids, which are the oldest, are forgotten first. Default: 4,096: the 256 batches that
   * a publisher may have in flight, and a hole for each dead letter of late.
   */
  readonly maxRangesPerQueue: number;
  /**
   * How much more than one source may remember all may together; then the largest source forgets first, so that none
   * loses what is no more than its share. Default: 4 times.
   */
  readonly maxFullSources: number;
}

/** Which events of a batch are kept already, by their index. */
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

/** The ids of a source by queue, in the order in which queues were last heard of. */
class SeenSource {
  readonly queues = new Map<string, IdRanges>();
  rangeCount = 0;
}

/** A queue of a source. */
export interface SourceQueue {
  readonly source: string;
  readonly queue: string;
}

/** The ids that were seen, by source and queue. */
export class DedupIndex {
  readonly #sources = new Map<string, SeenSource>();
  readonly #limits: DedupLimits;
  readonly #onForget: (queue: SourceQueue) => void;
  #queueCount = 0;
  #rangeCount = 0;

  /** @param onForget told of each queue that is forgotten */
  constructor(limits: Partial<DedupLimits> = {}, onForget: (queue: SourceQueue) => void = () => {}) {
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#onForget = onForget;
  }

  /** Which events of a batch were seen. Ids that do not name the events one by one say nothing of them. */
  find(source: string, ids: EventIds, eventCount: number): SeenEvents {
    const seen = this.#sources.get(source)?.queues.get(ids.queue);
    if (seen === undefined || ids.count !== eventCount) return NONE;
    return ids.ranges.some((range) => seen.meets(range)) ? findEach(seen, ids) : NONE;
  }

  /** Notes that all events of a batch are kept. Ids that do not name them one by one are not noted. */
  add(source: string, ids: EventIds, eventCount: number): void {
    if (ids.count === eventCount) this.#add(source, ids.queue, ids.ranges);
  }

  /** The queues; of each source, that which was heard of longest ago first. */
  *queues(): Generator<SourceQueue> {
    for (const [source, { queues }] of this.#sources)
      for (const queue of queues.keys()) yield { source, queue };
  }

  /** What is known of a queue, as a line of text: `SOURCE QUEUE_UUID:1-100,105`. Undefined: nothing. */
  format({ source, queue }: SourceQueue): string | undefined {
    const seen = this.#sources.get(source)?.queues.get(queue);
    return seen && `${formatSource(source)} ${queue}:${seen}`;
  }

  /** Takes up again what {@link format} wrote. False: it is not such a text. */
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
    source.queues.set(queue, seen); // now the one that was heard of last
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

/** A source as one word: names of keys may hold spaces. */
export function formatSource(source: string): string {
  return encodeURIComponent(source.toWellFormed());
}

/** Reads what {@link formatSource} wrote. Undefined: it is not that. */
export function parseSource(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
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
    return this.#firsts.map((firstId, at) => formatIdRange({ firstId, lastId: this.#lasts[at]! })).join(",");
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
