/** Checks of the options that programs pass: a misspelt name or a value of another kind is an error. */
import { ConfigurationError } from "./errors.ts";
import { anyOf, describe, didYouMean, errorName } from "./format.ts";

/** What an option's value may be. */
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

/** Not a Map, a promise, or an array: all that is in them would be passed over. */
const OPTIONS: OptionKind = {
  expected: "an object of options",
  matches: (value) =>
    Object.prototype.toString.call(value) === "[object Object]" &&
    typeof (value as { then?: unknown }).then !== "function",
};

export function wholeFrom(min: number, max: number = Number.MAX_SAFE_INTEGER): OptionKind {
  return {
    expected: `an integer from ${min} to ${max}`,
    matches: (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
  };
}

/** The mode of a file: its owner must be able to read and write it. */
export const FILE_MODE: OptionKind = {
  ...wholeFrom(0o600, 0o777),
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
 * The options that are set, each read once: what was checked is what is used. An option that is undefined is not set.
 *
 * @param required the options that must be set
 * @throws {ConfigurationError} it is not an object of options, or one does not exist, is of another kind, or cannot be read
 */
export function checkOptions<Options extends object>(
  options: Options,
  kinds: OptionKinds<NoInfer<Options>>,
  required: readonly (keyof NoInfer<Options> & string)[] = [],
): Options {
  checkOption("options", options, OPTIONS);
  const unknown = readOption("options", () => Object.keys(options).find((key) => !Object.hasOwn(kinds, key)));
  if (unknown !== undefined) throw unknownOption(unknown, Object.keys(kinds));
  const copy: Partial<Options> = {};
  for (const name of Object.keys(kinds) as (string & keyof Options)[]) {
    const value = readOption(name, () => options[name]);
    if (value === undefined) continue;
    checkOption(name, value, kinds[name]);
    copy[name] = value;
  }
  for (const name of required) checkOption(name, copy[name], kinds[name]);
  return copy as Options;
}

/** @throws {ConfigurationError} instead of what `read` throws, for example a getter or a revoked Proxy */
export function readOption<T>(key: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new ConfigurationError(`cannot be read: ${errorName(cause)} was thrown.`, { key }, { cause });
  }
}

/** @throws {ConfigurationError} the value is of another kind */
export function checkOption(key: string, value: unknown, { expected, matches }: OptionKind): void {
  if (readOption(key, () => matches(value))) return;
  const shown = typeof value === "string" ? JSON.stringify(value) : describe(value);
  throw new ConfigurationError(`must be ${expected}, got ${shown}.`, { key });
}

function unknownOption(key: string, known: readonly string[]): ConfigurationError {
  const meant = didYouMean(key, known);
  const hint = meant === undefined ? `the options are ${known.join(", ")}` : `did you mean ${meant}?`;
  return new ConfigurationError(`unknown option: ${hint}`, { key });
}
