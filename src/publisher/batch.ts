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

/** The size of a batch that is being gathered. It holds no events: they are read once, when it is claimed. */
export class Batch {
  /** How many events are in it. */
  count = 0;
  /** Its size, in bytes, as the original counts: one for the comma of each event. */
  sizeBytes: number;
  readonly #maxBytes: number;

  constructor(format: BatchFormat, maxBytes: number) {
    this.sizeBytes = format.baseBytes;
    this.#maxBytes = maxBytes;
  }

  /** Adds an event by its size in bytes. False: it does not fit, the batch is full. */
  add(eventBytes: number): boolean {
    const sizeBytes = this.sizeBytes + eventBytes + 1;
    if (sizeBytes > this.#maxBytes) return false;
    this.sizeBytes = sizeBytes;
    this.count++;
    return true;
  }

  /**
   * Adds events in order until one does not fit, and tells whether that happened. An event that
   * is too large for any batch travels alone: the collector decides, and the queue never jams.
   */
  fill(eventSizesBytes: Iterable<number>): boolean {
    for (const eventBytes of eventSizesBytes) {
      if (this.add(eventBytes)) continue;
      if (this.count === 0) this.count = 1;
      return true;
    }
    return false;
  }
}

/** The body of a batch, ready to be signed. */
export function frame(format: BatchFormat, count: number, joined: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(format.head(count)), joined, Buffer.from(format.tail)]);
}
