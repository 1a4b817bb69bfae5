/**
 * Where a writer stands in an event, and how an error says so: `user.flags[2]`, `labels["k"]`, and
 * for the first key of a map itself, `labels.keys[0]`.
 *
 * @module
 */

import { EventSerializationError } from "../errors.ts";
import { abbreviate } from "./problems.ts";

/** The longest map key shown in a field path, in characters. */
const MAX_SHOWN_KEY_CHARS = 64;

/** The longest field path in an error, in characters. */
const MAX_PATH_CHARS = 256;

/** A struct, list, set or map being written. */
export class Frame {
  /** What comes next in it. */
  next: "field" | "element" | "key" | "value" = "field";
  /** The field, or the key of the map's entry, being written. */
  name = "";
  /** How many elements, entries or fields have begun. */
  count = 0;
  /** How many elements or entries were announced. */
  size = 0;
  /** Whether a struct's fields came in the order of their ids. */
  ascending = true;
  /** Of each field of a struct, the id and where it starts in the text. */
  readonly ids: number[] = [];
  readonly starts: number[] = [];
}

/** The part of a path that names what a container has open. */
export function openSegment({ next, name, count }: Frame): string {
  if (next === "field") return name === "" ? "" : `.${name}`;
  return next === "element" ? `[${count - 1}]` : `[${abbreviate(name, MAX_SHOWN_KEY_CHARS)}]`;
}

/** The part of a path that names what a container is about to write. */
export function nextSegment(frame: Frame): string {
  if (frame.next === "element") return `[${frame.count}]`;
  return frame.next === "key" ? `.keys[${frame.count}]` : openSegment(frame);
}

export function serializationError(
  path: string,
  problem: string,
  options?: ErrorOptions,
): EventSerializationError {
  const field = abbreviate(path.replace(/^\./, ""), MAX_PATH_CHARS);
  return new EventSerializationError(field, problem, options);
}
