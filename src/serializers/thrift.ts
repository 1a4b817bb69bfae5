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
import { describe } from "../format.ts";
import { ThriftJsonWriter } from "./thrift_protocol.ts";

/**
 * A struct of the Apache Thrift compiler's `js:node` code, or anything that writes itself the same
 * way. `never` lets any protocol type stand there: npm thrift's `TProtocol` in most code.
 */
export interface ThriftStruct {
  /** Writes the struct to a Thrift protocol. */
  write(output: never): void;
}

/** Kept for the next event. IngestResult while in use: a struct's `write` may serialize another event. */
let idleWriter: ThriftJsonWriter | undefined = new ThriftJsonWriter();

/**
 * Serializes a Thrift struct for collectors of version 2: TJSONProtocol, without a message around
 * it, the bytes that baseplate.py's `serialize_v2_event` gives.
 *
 * Required fields, unions and enums are not checked, as in Python: unset fields are left out.
 *
 * @param event - an instance of a generated class
 * @throws EventSerializationError for a value outside its type, naming the field
 */
export function serializeV2Event(event: ThriftStruct): Uint8Array {
  const writer = idleWriter ?? new ThriftJsonWriter();
  idleWriter = undefined;
  try {
    write(event, writer);
    return writer.finish();
  } finally {
    writer.reset();
    idleWriter = writer;
  }
}

/**
 * A serializer of one struct's fields, so that put takes a plain object that TypeScript checks against the IDL, and
 * nothing else: no other struct, and no field that the IDL does not have.
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
  return (fields) => {
    // The class would make an event without any field of it.
    if (typeof fields !== "object" || fields === null)
      throw new EventSerializationError("", `is ${describe(fields)}: pass an object with its fields`);
    return serializeV2Event(new type(fields));
  };
}

function write(event: ThriftStruct, writer: ThriftJsonWriter): void {
  if (typeof event?.write !== "function") {
    throw new EventSerializationError(
      "",
      "has no write method: pass an instance of a class that the Thrift compiler generated, such as new Event({...})",
    );
  }
  try {
    event.write(writer as never);
  } catch (error) {
    if (error instanceof EventSerializationError) throw error;
    writer.fail(`cannot be written: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}
