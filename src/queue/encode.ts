import { ConfigurationError, EventSerializationError, EventTooLargeError } from "../errors.ts";
import type { EventSerializer } from "./event_queue.ts";

/** What an event's bytes must keep to. */
export interface EncodeLimits {
  readonly maxEventBytes: number;
  /** The queue's name, for errors. */
  readonly queue: string;
}

/**
 * The bytes of an event, as they go on the wire.
 *
 * @throws {EventSerializationError} the serializer gives no bytes, or none at all @throws {EventTooLargeError}
 */
export function encodeEvent<T>(
  serialize: EventSerializer<T>,
  event: T,
  { maxEventBytes, queue }: EncodeLimits,
): Uint8Array {
  const body = serialize(event);
  if (!(body instanceof Uint8Array))
    throw new EventSerializationError(
      "",
      "was not serialized to bytes: the queue's serializer must return a Uint8Array.",
    );
  if (body.length === 0)
    throw new EventSerializationError(
      "",
      "was serialized to no bytes at all: nothing would reach the collector.",
    );
  if (body.length > maxEventBytes) throw new EventTooLargeError(body.length, maxEventBytes, queue);
  return body;
}

/** Rejects an option that is not a whole number from 1 to `max`. @throws {ConfigurationError} */
export function checkWhole(key: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= max) return;
  throw new ConfigurationError(`must be a whole number from 1 to ${max}, and is ${value}.`, { key });
}
