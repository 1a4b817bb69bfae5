/**
 * The serializer of v2j events: JSON.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { EventSerializationError } from "../errors.ts";
import { describe, pathSegment } from "./problems.ts";

/**
 * Serializes an event for collectors of version 2j: JSON in UTF-8, as `JSON.stringify` writes it.
 *
 * What `JSON.stringify` does stays so: `toJSON` methods are called (a Date becomes its ISO text),
 * members that are undefined, functions or symbols are left out, a lone surrogate becomes
 * `\udXXX`, a Map or a Set becomes `{}`. What it would turn into null without a word is rejected:
 * NaN and Infinity, and undefined, functions and symbols in arrays.
 *
 * @param event - any value that JSON can hold; usually an object
 * @throws EventSerializationError for what JSON cannot hold (a BigInt, a cycle, NaN, a `toJSON` or
 *   getter that throws, an event that is undefined or a function), naming the field
 */
export function serializeJsonEvent(event: unknown): Uint8Array {
  try {
    const json = JSON.stringify(event) as string | undefined;
    // A lost value is a null in the text, so that only events with a null in them are looked through.
    if (json === undefined || json.includes("null")) rejectLostValues(root(event));
    return Buffer.from(json!, "utf8");
  } catch (error) {
    if (error instanceof EventSerializationError) throw error;
    throw explain(event, error);
  }
}

/** What `JSON.stringify` threw, with the field if it can be found. */
function explain(event: unknown, error: unknown): unknown {
  try {
    rejectLostValues(root(event));
  } catch (found) {
    if (found instanceof EventSerializationError) return found;
  }
  return new EventSerializationError("", `cannot be written as JSON: ${messageOf(error)}`, { cause: error });
}

/** How deep lost values are looked for: the ways there are kept, and would grow with the square. */
const MAX_SEARCH_DEPTH = 1_000;

/** A member of an object or array, by the name it has there. */
interface Member {
  readonly holder: object;
  readonly key: string;
  /** Such as `user.flags[2]`. */
  readonly path: string;
  /** The objects around it. */
  readonly ancestors: readonly object[];
}

/** The event, as if it were an array's only element: there, too, undefined has no place. */
function root(event: unknown): Member {
  return { holder: [event], key: "0", path: "", ancestors: [] };
}

/** Goes through a member as `JSON.stringify` does, and throws for the first that JSON cannot hold. */
function rejectLostValues(member: Member): void {
  const { holder, path, ancestors } = member;
  const value = read(member);
  if (value === undefined || typeof value === "function" || typeof value === "symbol") {
    if (Array.isArray(holder)) throw notInJson(path, value);
  } else if (typeof value === "bigint" || (typeof value === "number" && !Number.isFinite(value))) {
    throw notInJson(path, value);
  } else if (typeof value === "object" && value !== null && ancestors.length < MAX_SEARCH_DEPTH) {
    if (ancestors.includes(value)) throw new EventSerializationError(path, "contains itself");
    const around = [...ancestors, value];
    for (const key of Object.keys(value)) {
      rejectLostValues({ holder: value, key, path: path + pathSegment(value, key, path), ancestors: around });
    }
  }
}

/** The member's value after its getter and its `toJSON`, where it has them. */
function read({ holder, key, path }: Member): unknown {
  try {
    const value = (holder as Record<string, unknown>)[key] as { toJSON?: unknown } | null | undefined;
    return typeof value?.toJSON === "function" ? value.toJSON(key) : value;
  } catch (error) {
    throw new EventSerializationError(path, `cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

function notInJson(path: string, value: unknown): EventSerializationError {
  return new EventSerializationError(path, `is ${describe(value)}, which JSON does not have`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
