/**
 * Checks the options that programs pass. A misspelt name or a value of the wrong type is an error.
 *
 * @module
 */
import { didYouMean } from "./did_you_mean.ts";
import { ConfigurationError } from "./errors.ts";
import { anyOf, describe } from "./format.ts";

/** The values that an option accepts. */
export interface OptionKind {
  /** In words, after "must be". */
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

export function integerFrom(min: number, max: number = Number.MAX_SAFE_INTEGER): OptionKind {
  return {
    expected: `an integer from ${min} to ${max}`,
    matches: (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
  };
}

/** The mode of a file: its owner must be able to read and write it. */
export const FILE_MODE: OptionKind = {
  ...integerFrom(0o600, 0o777),
  expected: "a file mode from 0o600 to 0o777",
};

export function oneOf(...allowed: readonly unknown[]): OptionKind {
  return { expected: anyOf(allowed), matches: (value) => allowed.includes(value) };
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
 * Rejects unknown options and values of the wrong type. An option that is undefined counts as absent.
 *
 * @param required the options that must be there
 * @throws {ConfigurationError}
 */
export function checkOptions<Options extends object>(
  options: Options,
  kinds: OptionKinds<Options>,
  required: readonly (keyof Options & string)[] = [],
): void {
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw new ConfigurationError(`must be an object, got ${describe(options)}`, { key: "options" });
  for (const [key, value] of Object.entries(options)) {
    if (!Object.hasOwn(kinds, key)) throw unknownOption(key, Object.keys(kinds));
    if (value !== undefined) checkOption(key, value, kinds[key as keyof Options]);
  }
  for (const key of required) checkOption(key, options[key], kinds[key]);
}

/** @throws {ConfigurationError} the value has the wrong type */
export function checkOption(key: string, value: unknown, { expected, matches }: OptionKind): void {
  if (matches(value)) return;
  const shown = typeof value === "string" ? JSON.stringify(value) : describe(value);
  throw new ConfigurationError(`must be ${expected}, got ${shown}`, { key });
}

function unknownOption(key: string, known: readonly string[]): ConfigurationError {
  const meant = didYouMean(key, known);
  const hint = meant === undefined ? `use ${known.join(", ")}` : `did you mean ${meant}?`;
  return new ConfigurationError(`unknown option: ${hint}`, { key });
}
