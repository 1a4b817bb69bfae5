/** What puts are given: an event to serialize, or several. */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import {
  ConfigurationError,
  EventError,
  EventInvalidError,
  EventSerializationError,
  EventTooLargeError,
} from "../errors.ts";
import { describe, errorName } from "../format.ts";
import { checkOption, type OptionKind, oneOf, readOption } from "../options.ts";
import { withSchema } from "../serializers/standard_schema.ts";
import type { BatchVersion, EventTable } from "../storage/events.ts";

/**
 * Turns an event into the bytes that are sent, such as `serializeJsonEvent` or `serializeV2Event`. It must return a new
 * array each time: `putMany` and `putAsync` hold several before they store them.
 */
export type EventSerializer<T> = ((event: T) => Uint8Array) & {
  /**
   * The `collector.version` of its events. The queue file stores it, and a publisher with another version does not
   * start. Default: unknown, and nothing is checked.
   */
  readonly batchVersion?: BatchVersion;
};

/** What an event's bytes must keep to. */
export interface EncodeLimits {
  readonly maxEventBytes: number;
  /** The queue's name, for errors. */
  readonly queue: string;
}

/**
 * The bytes of an event, as they are sent.
 *
 * @throws {EventSerializationError} the serializer throws or gives no bytes, or the event is a promise
 * @throws {EventInvalidError} the schema rejects the event
 * @throws {EventTooLargeError} there are too many bytes
 */
export function encodeEvent<T>(
  serialize: EventSerializer<T>,
  event: T,
  { maxEventBytes, queue }: EncodeLimits,
): Uint8Array {
  try {
    if (isThenable(event)) throw ofPromise(event);
    const body: unknown = serialize(event);
    if (!(body instanceof Uint8Array)) throw notBytes(body);
    if (body.length === 0) throw new EventSerializationError("", NO_BYTES);
    if (body.length > maxEventBytes) throw new EventTooLargeError(body.length, maxEventBytes, queue);
    return body;
  } catch (error) {
    throw EventError.is(error) ? error : ofSerializer(error);
  }
}

const NO_BYTES = "was serialized to no bytes at all: nothing would reach the collector.";

/**
 * The bytes of all events.
 *
 * @throws what `encode` throws; an EventInvalidError has the index of the event
 * @throws {EventSerializationError} the list cannot be read to its end
 */
export function encodeAll<T>(events: readonly T[], encode: (event: T) => Uint8Array): Uint8Array[] {
  const bodies: Uint8Array[] = [];
  try {
    for (const event of events) bodies.push(encode(event));
  } catch (error) {
    if (!EventError.is(error)) throw unreadableList(error);
    if (!(error instanceof EventInvalidError)) throw error;
    const { issues, cause } = error;
    throw new EventInvalidError(issues, bodies.length, cause === undefined ? undefined : { cause });
  }
  return bodies;
}

/** Its message may quote the event: it is in the cause alone. */
function ofSerializer(cause: unknown): EventSerializationError {
  const problem = `was not serialized: the queue's serializer threw ${errorName(cause)}.`;
  return new EventSerializationError("", problem, { cause });
}

function ofPromise(promise: PromiseLike<unknown>): EventSerializationError {
  silence(promise);
  return new EventSerializationError("", "is a promise: await it, and put what it resolves to");
}

function notBytes(body: unknown): EventSerializationError {
  if (isThenable(body)) silence(body);
  const problem = "was not serialized to bytes: the queue's serializer must return a Uint8Array";
  return new EventSerializationError("", `${problem}, and returned ${describe(body)}.`);
}

/**
 * The events that `putMany` is given.
 *
 * @throws {EventSerializationError} it is no list of events: nothing that can be iterated, a string, a Map or the like,
 * bytes, an async iterable; or it cannot be read to its end
 */
export function eventsOf<T>(events: Iterable<T>): readonly T[] {
  try {
    const problem = Array.isArray(events) ? undefined : listProblem(events);
    if (problem === undefined) return Array.from(events);
    throw new EventSerializationError(
      "",
      `list is ${describe(events)}, and putMany takes an array, a Set or another iterable of events: ${problem}`,
    );
  } catch (error) {
    throw EventError.is(error) ? error : unreadableList(error);
  }
}

function unreadableList(cause: unknown): EventSerializationError {
  return new EventSerializationError("", `list cannot be read: ${errorName(cause)} was thrown`, { cause });
}

function listProblem(events: unknown): string | undefined {
  if (typeof events !== "object" || events === null) return "to put one event, use put";
  if (isThenable(events)) {
    silence(events);
    return "await it first";
  }
  const { entries, [Symbol.iterator]: iterator } = events as {
    entries?: unknown;
    [Symbol.iterator]?: unknown;
  };
  if (typeof iterator !== "function")
    return Symbol.asyncIterator in events
      ? "gather its events with for await first"
      : "to put one event, use put";
  if (iterator === entries) return "its elements are pairs of a key and a value, so pass its values()";
  if (ArrayBuffer.isView(events) || events instanceof String) return "its elements are no events";
  return undefined;
}

/** Whether a value is a promise or is like one. What cannot be read is not: the serializer names it. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  const isObject = (typeof value === "object" && value !== null) || typeof value === "function";
  try {
    return isObject && typeof (value as { then?: unknown }).then === "function";
  } catch {
    return false;
  }
}

/** Lets a promise that nobody waits for fail without ending the process. */
export function silence(promise: PromiseLike<unknown>): void {
  void Promise.resolve(promise).catch(() => {});
}

const BATCH_VERSION: OptionKind = oneOf("2", "2j");

/** @throws {ConfigurationError} it is not a function, or its `batchVersion` is unknown */
export function checkSerializer(serializer: unknown): void {
  if (typeof serializer !== "function") {
    const problem =
      serializer == null
        ? "is missing: pass serializeJsonEvent, serializeV2Event, or a function that returns a Uint8Array."
        : `must be a function such as serializeJsonEvent, got ${describe(serializer)}; the options follow it.`;
    throw new ConfigurationError(problem, { key: "serializer" });
  }
  const batchVersion = readOption(
    "serializer",
    () => (serializer as { batchVersion?: unknown }).batchVersion,
  );
  if (batchVersion !== undefined) checkOption("serializer.batchVersion", batchVersion, BATCH_VERSION);
}

/**
 * What puts call: the serializer, behind the schema if there is one. Decided once, so that a put without a schema does
 * not even ask for one.
 *
 * @throws {ConfigurationError} it is not a Standard Schema of version 1
 */
export function serializerBehind<T, Output>(
  schema: StandardSchemaV1<T, Output> | undefined,
  serializer: EventSerializer<T> | EventSerializer<Output>,
): EventSerializer<T> {
  return schema === undefined
    ? (serializer as EventSerializer<T>)
    : withSchema(schema, serializer as EventSerializer<Output>);
}

/** What remembers the version. */
type VersionedTable = Pick<EventTable, "batchVersion" | "setBatchVersion" | "depth">;

/**
 * Remembers in the queue which version of a batch the serializer writes, if it says so, for the publisher. A queue that
 * is empty and has another version keeps it until the first event is put: to open it, only to look at it, changes nothing.
 *
 * @param serialize what puts call: the serializer, or what checks events before it
 * @returns what puts are to call instead
 * @throws {ConfigurationError} the queue holds events of another version
 */
export function rememberBatchVersion<T>(
  table: VersionedTable,
  { batchVersion }: Pick<EventSerializer<never>, "batchVersion">,
  serialize: EventSerializer<T>,
  queue: string,
): EventSerializer<T> {
  const kept = table.batchVersion();
  if (batchVersion === undefined || batchVersion === kept) return serialize;
  if (kept === undefined) {
    table.setBatchVersion(batchVersion);
    return serialize;
  }
  rejectOtherVersion(table, batchVersion, queue);
  let isRemembered = false;
  return (event) => {
    const body = serialize(event);
    if (!isRemembered) {
      rejectOtherVersion(table, batchVersion, queue);
      table.setBatchVersion(batchVersion);
      isRemembered = true;
    }
    return body;
  };
}

function rejectOtherVersion(table: VersionedTable, batchVersion: BatchVersion, queue: string): void {
  const kept = table.batchVersion();
  if (kept === batchVersion || table.depth() === 0) return;
  const problem = `writes events of version ${batchVersion}, and queue ${JSON.stringify(queue)} holds events of version ${kept}: publish those first, or use another queue.`;
  throw new ConfigurationError(problem, { key: "serializer" });
}
