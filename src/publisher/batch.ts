/**
 * What a batch is on the wire, and when it is full.
 *
 * @module
 */

/** How the events of a batch, already serialized and joined by commas, become one body. */
export interface BatchFormat {
  /** What the size of an empty batch counts as, in bytes: the original's estimate, kept so that batches are cut alike. */
  readonly baseBytes: number;
  /** What stands before the events. */
  head(count: number): string;
  /** What stands after the events. */
  readonly tail: string;
}

/**
 * The formats by `collector.version`. Source: baseplate.py `baseplate/sidecars/event_publisher.py`,
 * `V2Batch` (a Thrift struct whose one field is a list of structs, in TJSONProtocol) and `V2JBatch`.
 */
export const BATCH_FORMATS: Readonly<Record<"2" | "2j", BatchFormat>> = {
  "2": { baseBytes: 27, head: (count) => `{"1":{"lst":["rec",${count},`, tail: "]}}" },
  "2j": { baseBytes: 2, head: () => "[", tail: "]" },
};

/** The longest head and tail together, in bytes. */
export const MAX_FRAME_BYTES = 64;

/** How many events a range of ids has, and how large they are together. */
export interface RangeSum {
  readonly count: number;
  /** Without commas. */
  readonly bytes: number;
  /** The highest id that an event of the range has; 0 where there is none. */
  readonly lastId: number;
}

/** Sums up the events from one id to another, both included. */
export type SumRange = (firstId: number, lastId: number) => RangeSum;

/** How many ids the first guess takes: at 300 bytes, an event has room for a few times more. */
const FIRST_GUESS = 256;

/** The size of a batch that is being gathered. It holds no events: they are read once, when it is claimed. */
export class Batch {
  /** How many events are in it. */
  count = 0;
  /** The id of the last one; 0: there is none. */
  lastId = 0;
  /** Its size, in bytes, as the original counts: one for the comma of each event. */
  sizeBytes: number;
  readonly #maxBytes: number;

  constructor(format: BatchFormat, maxBytes: number) {
    this.sizeBytes = format.baseBytes;
    this.#maxBytes = maxBytes;
  }

  /** Adds events by their sum. False: they do not all fit, and none is added. */
  add({ count, bytes, lastId }: RangeSum): boolean {
    const sizeBytes = this.sizeBytes + bytes + count;
    if (sizeBytes > this.#maxBytes) return false;
    this.sizeBytes = sizeBytes;
    this.count += count;
    this.lastId = lastId;
    return true;
  }

  /**
   * Adds events in order until one does not fit, and tells whether that happened. An event that
   * is too large for any batch travels alone: the collector decides, and the queue never jams.
   *
   * Goes by sums of as many events as should fit, and of half as many where they do not: 0.08 us an event,
   * where one after the other took 0.22.
   */
  fill(sum: SumRange, firstId: number, lastId: number): boolean {
    let nextId = firstId;
    let ids = this.#guess();
    while (nextId <= lastId) {
      const range = sum(nextId, Math.min(nextId + ids - 1, lastId));
      if (range.count === 0) return false;
      if (this.add(range)) {
        nextId = range.lastId + 1;
        ids = this.#guess();
      } else if (ids > 1) {
        ids = Math.floor(ids / 2);
      } else {
        if (this.count === 0) [this.count, this.lastId] = [1, range.lastId];
        return true;
      }
    }
    return false;
  }

  /** How many more events there is room for, if they are as large as those before. */
  #guess(): number {
    if (this.count === 0) return FIRST_GUESS;
    return Math.max(1, Math.floor(((this.#maxBytes - this.sizeBytes) * this.count) / this.sizeBytes));
  }
}

/**
 * The body of a batch, ready to be signed.
 *
 * @param allocate gives the memory for so many bytes, or more
 */
export function frame(
  format: BatchFormat,
  { count, joined }: { readonly count: number; readonly joined: Uint8Array },
  allocate: (bytes: number) => Buffer = Buffer.allocUnsafe,
): Buffer {
  const head = format.head(count);
  const length = head.length + joined.length + format.tail.length;
  const body = allocate(length);
  body.write(head, "latin1");
  body.set(joined, head.length);
  body.write(format.tail, head.length + joined.length, "latin1");
  return body.subarray(0, length);
}
