/**
 * The serializer of v2 events: Thrift structs in Apache Thrift's JSON protocol.
 *
 * @example
 * ```ts
 * import { EventQueue } from "eventspool";
 * import { serializeV2Event } from "eventspool/thrift";
 *
 * using events = new EventQueue("v2", serializeV2Event);
 * events.put(new Event({ source: "web", action: "view", noun: "page" }));
 * ```
 *
 * @module
 */

import { EventSerializationError } from "../errors.ts";
import { describe, didYouMean, errorName } from "../format.ts";
import { fieldPath, hasSymbols, isPlainObject, pathSegment, SYMBOL_PROBLEM } from "./problems.ts";
import { NO_STRUCT, ThriftJsonWriter } from "./thrift_protocol.ts";

/**
 * A struct of the Apache Thrift compiler's `js:node` code, or any object with the same `write` method. `never` allows any
 * protocol type, such as npm thrift's `TProtocol`.
 */
export interface ThriftStruct {
  /** Writes the struct to a Thrift protocol. */
  write(output: never): void;
}

const OPEN_BRACE = 0x7b;

/** Reused for the next event. Undefined while in use, because a struct's `write` may serialize another event. */
let idleWriter: ThriftJsonWriter | undefined = new ThriftJsonWriter();

/**
 * Serializes a Thrift struct for collectors of version 2: TJSONProtocol without a message around it, the same bytes as
 * `serialize_v2_event` of baseplate.py.
 *
 * Fields that are unset (null or undefined) are left out, as in Python. Enums are not checked. Values that generated code
 * would drop or convert are rejected: a Map, a Set or a string in place of a map, set or list; a field that the struct does
 * not have; in classes that `eventspool-thrift` generated, also a union without exactly one value, and a required field
 * that is unset. A field that the constructor drops, as in `new Event({ sorce: "web" })`, cannot be seen here: use
 * {@link v2SerializerOf}.
 *
 * @param event - an instance of a generated class
 * @throws EventSerializationError for a value outside its type, naming the field
 */
export function serializeV2Event(event: ThriftStruct): Uint8Array {
  const writer: ThriftJsonWriter = idleWriter ?? new ThriftJsonWriter();
  idleWriter = undefined;
  writer.begin(event);
  try {
    if (typeof event?.write !== "function") throw new EventSerializationError("", NO_WRITE);
    event.write(writer as never);
    const bytes = writer.finish();
    if (bytes[0] !== OPEN_BRACE) writer.fail(NO_STRUCT);
    return bytes;
  } catch (error) {
    if (EventSerializationError.is(error)) throw error;
    writer.fail(`cannot be written: ${problemOf(error)}`, { cause: error });
  } finally {
    writer.reset();
    idleWriter = writer;
  }
}

const NO_WRITE =
  "has no write method: pass an instance of a class that the Thrift compiler generated, such as new Event({...})";

// For the queue: see EventSerializer.
Object.defineProperty(serializeV2Event, "batchVersion", { value: "2" });

/**
 * A serializer for the fields of one struct. With it put takes a plain object, which TypeScript checks against the IDL, and
 * rejects fields that the IDL does not have.
 *
 * @example
 * ```ts
 * using events = new EventQueue("v2", v2SerializerOf(Event));
 * events.put({ source: "web", action: "view", noun: "page", client_timestamp: Date.now(), uuid });
 * ```
 *
 * @param type - a class that `eventspool-thrift` generated
 * @returns a serializer that throws EventSerializationError, as {@link serializeV2Event} does
 */
export function v2SerializerOf<Fields extends object>(
  type: new (fields?: Fields) => ThriftStruct,
): (fields: Fields) => Uint8Array {
  const serialize = (fields: Fields): Uint8Array => {
    // The class would create an event without fields.
    if (typeof fields !== "object" || fields === null)
      throw new EventSerializationError("", `is ${describe(fields)}: pass an object with its fields`);
    return serializeV2Event(construct(type, fields));
  };
  return Object.defineProperty(serialize, "batchVersion", { value: "2" });
}

/** Generated constructors throw if a required field is not set. */
function construct<Fields>(type: new (fields?: Fields) => ThriftStruct, fields: Fields): ThriftStruct {
  try {
    const event = new type(fields);
    checkTaken(fields, event, "");
    return event;
  } catch (cause) {
    if (EventSerializationError.is(cause)) throw cause;
    throw new EventSerializationError("", `cannot be written: ${problemOf(cause)}`, { cause });
  }
}

/** Rejects what a generated constructor drops or converts: unknown fields, a Set for a list, a string for a struct. */
function checkTaken(given: unknown, made: unknown, path: string): void {
  if (typeof made !== "object" || made === null || made === given) return;
  const expected = expectedShape(given, made);
  if (expected !== undefined)
    throw new EventSerializationError(fieldPath(path), `is ${describe(given)}: ${expected}`);
  if (hasSymbols(given as object)) throw new EventSerializationError(fieldPath(path), SYMBOL_PROBLEM);
  for (const [key, member] of Object.entries(given as object)) {
    const field = path + pathSegment(made, key, path);
    if (Object.hasOwn(made, key)) checkTaken(member, (made as Record<string, unknown>)[key], field);
    else if (member != null) throw unknownField(field, key, made);
  }
}

/** What must be given for the list, struct or map that the constructor made; undefined if it was given. */
function expectedShape(given: unknown, made: object): string | undefined {
  if (Array.isArray(made)) return Array.isArray(given) ? undefined : "list and set take an array";
  if (typeof (made as Partial<ThriftStruct>).write !== "function")
    return isPlainObject(given) ? undefined : "map takes a plain object";
  // Not only plain objects: an instance of the struct's class has its fields, too.
  const isObject = Object.prototype.toString.call(given) === "[object Object]";
  return isObject ? undefined : "a struct takes a plain object";
}

function unknownField(path: string, key: string, made: object): EventSerializationError {
  const meant = didYouMean(key, Object.keys(made));
  const hint = meant === undefined ? "" : `: did you mean ${meant}?`;
  return new EventSerializationError(fieldPath(path), `is not a field of its struct${hint}`);
}

/** Errors of npm thrift name a field. Messages of other errors may quote the event, so they are only in the cause. */
function problemOf(error: unknown): string {
  const name = errorName(error);
  return name === "TProtocolException" ? (error as Error).message : `${name} was thrown`;
}
