/**
 * The serializer of v2j events: JSON.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { EventSerializationError } from "../errors.ts";
import { describe, pathSegment } from "./problems.ts";

/**
 * How deep arrays and objects may nest in an event's JSON, whatever its version: one limit for put, for both
 * serializers and for the collector. Readers have limits of their own: SQLite's JSON functions 1,000, Python's about as
 * many, and the collector's scanners recurse as deep.
 */
export const MAX_EVENT_DEPTH = 512;

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
 *   getter that throws, an event that is undefined or a function), naming the field; for one that nests deeper than
 *   {@link MAX_EVENT_DEPTH}
 */
export function serializeJsonEvent(event: unknown): Uint8Array {
  try {
    const json = JSON.stringify(event) as string | undefined;
    // A lost value is a null in the text, so that only events with a null in them are looked through.
    if (json === undefined || json.includes("null")) rejectLostValues(root(event));
    if (json!.length > 2 * MAX_EVENT_DEPTH && nestsTooDeep(json!))
      throw new EventSerializationError("", `nests deeper than ${MAX_EVENT_DEPTH} arrays and objects`);
    return Buffer.from(json!, "utf8");
  } catch (error) {
    if (error instanceof EventSerializationError) throw error;
    throw explain(event, error);
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING = new Set(Buffer.from("[{"));
const CLOSING = new Set(Buffer.from("]}"));

function nestsTooDeep(json: string): boolean {
  if (!hasManyBrackets(json)) return false;
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    const char = json.charCodeAt(at);
    if (char === QUOTE) at = endOfString(json, at);
    else if (CLOSING.has(char)) depth--;
    else if (OPENING.has(char) && ++depth > MAX_EVENT_DEPTH) return true;
  }
  return false;
}

/** Rules out almost all events, in a twentieth of the time: text that nests deep has as many brackets. */
function hasManyBrackets(json: string): boolean {
  let count = 0;
  for (const bracket of "[{")
    for (let at = json.indexOf(bracket); at !== -1; at = json.indexOf(bracket, at + 1))
      if (++count > MAX_EVENT_DEPTH) return true;
  return false;
}

function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (json.charCodeAt(at) !== QUOTE) at += json.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at;
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
