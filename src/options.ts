/**
 * Checks of the options that programs pass: a name that is misspelt, or a value of another kind, is an error and not a
 * default.
 *
 * @module
 */
import { didYouMean } from "./did_you_mean.ts";
import { ConfigurationError } from "./errors.ts";
import { describe } from "./format.ts";

/** What an option's value may be. */
export interface OptionKind {
  /** In words, behind "must be". */
  readonly expected: string;
  matches(value: unknown): boolean;
}

/** The kind of each option. */
export type OptionKinds<Options> = { readonly [Name in keyof Required<Options>]: OptionKind };

export const BOOLEAN: OptionKind = ofType("boolean", "true or false");
export const STRING: OptionKind = ofType("string", "a string");
export const FUNCTION: OptionKind = ofType("function", "a function");

/** An object, or a function with members, as a schema of arktype is. */
export const OBJECT: OptionKind = {
  expected: "an object",
  matches: (value) => (typeof value === "object" && value !== null) || typeof value === "function",
};

export function wholeFrom(min: number, max: number = Number.MAX_SAFE_INTEGER): OptionKind {
  return {
    expected: `a whole number from ${min} to ${max}`,
    matches: (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
  };
}

export function oneOf(...allowed: readonly unknown[]): OptionKind {
  return { expected: allowed.join(" or "), matches: (value) => allowed.includes(value) };
}

/** Either kind. */
export function either(one: OptionKind, other: OptionKind): OptionKind {
  const expected = `${one.expected} or ${other.expected}`;
  return { expected, matches: (value) => one.matches(value) || other.matches(value) };
}

function ofType(type: string, expected: string): OptionKind {
  return { expected, matches: (value) => typeof value === type };
}

/**
 * Rejects options that do not exist, and values of another kind. An option that is undefined counts as left out.
 *
 * @throws {ConfigurationError}
 */
export function checkOptions<Options extends object>(options: Options, kinds: OptionKinds<Options>): void {
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw new ConfigurationError(`must be an object, and is ${describe(options)}.`, { key: "options" });
  for (const [key, value] of Object.entries(options)) {
    if (!Object.hasOwn(kinds, key)) throw unknownOption(key, Object.keys(kinds));
    if (value !== undefined) checkOption(key, value, kinds[key as keyof Options]);
  }
}

/** @throws {ConfigurationError} the value is of another kind */
export function checkOption(key: string, value: unknown, { expected, matches }: OptionKind): void {
  if (matches(value)) return;
  const shown = typeof value === "string" ? JSON.stringify(value) : describe(value);
  throw new ConfigurationError(`must be ${expected}, and is ${shown}.`, { key });
}

function unknownOption(key: string, known: readonly string[]): ConfigurationError {
  const meant = didYouMean(key, known);
  const hint = meant === undefined ? `there are ${known.join(", ")}` : `did you mean ${meant}?`;
  return new ConfigurationError(`is no option: ${hint}`, { key });
}
