/**
 * Readers of single values. Each takes the text of a value, with its variables filled in, and throws
 * a {@link ConfigurationError} without a place; {@link ConfigSection.read} adds where it stands.
 *
 * @module
 */

import { ConfigurationError } from "../errors.ts";

/** The longest duration one can configure, in milliseconds: a longer one than a day is a slip of the unit. */
export const MAX_DURATION_MS = 86_400_000;

/** How long a stopping publisher waits for batches in flight before it releases them, in milliseconds. */
export const DEFAULT_GRACE_MS = 10_000;

/** Turns the text of a value into what it means. A key that is absent reads as the empty text. */
export type ValueParser<T> = (text: string) => T;

/** A range of numbers, both ends included. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

const MAX_QUOTED_CHARS = 100;

/** A value as messages show it: in double quotes, escaped, and never longer than 100 characters. */
export function quote(text: string): string {
  const shown = text.length > MAX_QUOTED_CHARS ? `${text.slice(0, MAX_QUOTED_CHARS)}...` : text;
  return JSON.stringify(shown);
}

/** What `parse` reads, or `fallback` where the key is absent or blank. */
export function optional<T, D>(parse: ValueParser<T>, fallback: D): ValueParser<T | D> {
  return (text) => (text === "" ? fallback : parse(text));
}

/** Any text but the empty one. */
export function parseText(text: string): string {
  if (text === "") throw new ConfigurationError("no value specified");
  return text;
}

/**
 * A whole number, as Python's `int(text)` reads it: white space around, a sign, and single
 * underscores between digits are fine. Unlike there, digits and white space are ASCII only.
 */
export function parseInteger(text: string): number {
  const [, digits] = /^[\t-\r ]*([+-]?\d+(?:_\d+)*)[\t-\r ]*$/.exec(text) ?? [];
  if (digits === undefined) throw new ConfigurationError(`expected a whole number, got ${quote(text)}`);
  return Number(digits.replaceAll("_", ""));
}

/** A whole number within a range. */
export function integerIn(range: Range): ValueParser<number> {
  return (text) => checkRange(parseInteger(text), range);
}

/** `true` or `false`, in any case of letters. */
export function parseBoolean(text: string): boolean {
  const word = text.toLowerCase();
  if (word !== "true" && word !== "false") {
    throw new ConfigurationError(`expected true or false, got ${quote(text)}`);
  }
  return word === "true";
}

/** One of the given words, spelt exactly so. */
export function oneOf<T extends string>(...words: readonly T[]): ValueParser<T> {
  return (text) => {
    const word = words.find((candidate) => candidate === text);
    if (word === undefined)
      throw new ConfigurationError(`expected ${words.join(" or ")}, got ${quote(text)}`);
    return word;
  };
}

const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** A duration within a range of milliseconds, read as milliseconds: `250ms`, `3s`, `5m`, `1h`. */
export function durationMsIn(range: Range): ValueParser<number> {
  return (text) => {
    const [, count = "", unit = ""] = /^(\d+) ?(ms|s|m|h)?$/.exec(text) ?? [];
    const scale = MILLISECONDS[unit];
    if (count !== "" && scale !== undefined) return checkRange(Number(count) * scale, range, "ms");
    const hint =
      count === "" ? "such as 250ms, 3s, 5m or 1h" : `with its unit, such as ${count}s or ${count}ms`;
    throw new ConfigurationError(`expected a duration ${hint}, got ${quote(text)}`);
  };
}

const BYTES: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1_000,
  kib: 1_024,
  mb: 1_000_000,
  mib: 1_048_576,
  gb: 1_000_000_000,
  gib: 1_073_741_824,
};

/**
 * A size within a range of bytes, read as bytes: `512000`, `512000B`, `512kB` (1,000 bytes each),
 * `500KiB` (1,024 bytes each), `1MB`, `1MiB`, `1GB`, `1GiB`; units in any case of letters.
 */
export function bytesIn(range: Range): ValueParser<number> {
  return (text) => {
    const [, count = "", unit = ""] = /^(\d+) ?(b|kb|kib|mb|mib|gb|gib)?$/i.exec(text) ?? [];
    const scale = BYTES[unit.toLowerCase()];
    if (count !== "" && scale !== undefined) return checkRange(Number(count) * scale, range, " bytes");
    throw new ConfigurationError(`expected a size such as 512000, 500KiB or 1MB, got ${quote(text)}`);
  };
}

/** The mode of a file in octal digits, such as `0600` or `660`; its owner must be able to read and write it. */
export function parseFileMode(text: string): number {
  if (/^0?[67][0-7]{2}$/.test(text)) return Number.parseInt(text, 8);
  throw new ConfigurationError(
    `expected a mode that lets the owner read and write, such as 0600 or 0660, got ${quote(text)}`,
  );
}

/** A share above 0 and up to 1, written as a percentage: `10%`, `0.5%`, `100%`. */
export function parseShare(text: string): number {
  const [, percent] = /^(\d+(?:\.\d+)?) ?%$/.exec(text) ?? [];
  if (percent === undefined)
    throw new ConfigurationError(`expected a percentage such as 10%, got ${quote(text)}`);
  const share = Number(percent) / 100;
  if (share > 0 && share <= 1) return share;
  throw new ConfigurationError(`is ${percent}%: expected more than 0% and at most 100%`);
}

function checkRange(value: number, { min, max }: Range, unit = ""): number {
  if (value >= min && value <= max) return value;
  throw new ConfigurationError(`is ${value}${unit}: expected ${min} to ${max}${unit}`);
}
