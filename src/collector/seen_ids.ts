/**
 * Which events a sink has kept already, by the ids their publishers gave them.
 *
 * It may forget, and then an event that is sent again is kept twice. It never says of an event that was not
 * kept that it was: that one would be lost. So at its bounds ids are forgotten, never rounded up to "all below".
 *
 * @module
 */
import { MAX_SEEN_BATCHES, MAX_SEEN_QUEUES, MAX_SEEN_RANGES, MAX_SEEN_RANGES_PER_QUEUE } from "../limits.ts";
import { type EventIds, parseEventIds } from "./event_ids.ts";
import { formatRange, IdRanges } from "./id_ranges.ts";

/** How much is remembered. Defaults: those of limits.ts. */
export interface SeenLimits {
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

const DEFAULT_LIMITS: SeenLimits = {
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
export class SeenIds {
  /** In the order in which queues were last heard of. */
  readonly #queues = new Map<string, SeenQueue>();
  readonly #limits: SeenLimits;
  readonly #onForget: (queue: string) => void;
  #rangeCount = 0;

  /** @param onForget told of each queue that is forgotten */
  constructor(limits: Partial<SeenLimits> = {}, onForget: (queue: string) => void = () => {}) {
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
