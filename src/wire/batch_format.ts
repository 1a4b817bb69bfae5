/** The format of a batch on the wire. */

/**
 * The largest serialized event, in bytes: 102,400 passes, 102,401 does not.
 * Source: baseplate.py `baseplate/lib/events.py`, `MAX_EVENT_SIZE`.
 */
export const MAX_EVENT_BYTES = 102_400;

/**
 * The size at which a batch is full, in bytes before compression: 500 KiB.
 * Source: baseplate.py `baseplate/sidecars/event_publisher.py`, `MAX_BATCH_SIZE`.
 */
export const MAX_BATCH_BYTES = 512_000;

/** How serialized events, joined by commas, become the body of a request. */
export interface BatchFormat {
  /** The size of an empty batch, in bytes: the estimate of baseplate.py, so that batches have the same size. */
  readonly baseBytes: number;
  /** The text before the events. */
  head(count: number): string;
  /** The text after the events. */
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

/**
 * Builds the body of a batch.
 *
 * @param allocate returns a buffer of at least so many bytes
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
