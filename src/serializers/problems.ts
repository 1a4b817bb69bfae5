/** The texts of rejections. They never show the text of a string, because it may be personal. */
import { abbreviate, describe } from "../format.ts";
import type { IntegerType } from "./thrift_values.ts";

/**
 * The maximum nesting of objects, arrays, structs, lists, sets and maps in an event. The serializers and the collector's
 * scanners have the same limit, so the collector accepts what put accepts.
 */
export const MAX_EVENT_DEPTH = 512;

/** The longest field path in an error, in characters. */
const MAX_PATH_CHARS = 256;

/** `is a string: i32 takes integers from -2147483648 to 2147483647`. */
export function integerProblem(value: unknown, type: IntegerType): string {
  const max = 2n ** BigInt(type.bits - 1) - 1n;
  const range = `integers from ${-max - 1n} to ${max}`;
  const unsafe = typeof value === "number" && Number.isInteger(value) && Math.abs(value) < 2 ** 63;
  if (type.bits === 64 && unsafe) {
    return `is ${value}, a number beyond 2^53 that may have lost digits: pass a BigInt`;
  }
  const fraction = typeof value === "number" && !Number.isInteger(value) && Number.isFinite(value);
  return `is ${describe(value)}: ${type.name} takes ${range}${fraction ? ", so round it" : ""}`;
}

export function doubleProblem(value: unknown): string {
  if (typeof value === "bigint") return `is ${describe(value)}, which a double cannot hold without rounding`;
  return `is ${describe(value)}: double takes finite numbers, as JSON has no NaN and no Infinity`;
}

export function stringProblem(value: unknown): string {
  if (typeof value !== "string") return `is ${describe(value)}: string takes strings`;
  const index = value.search(/\p{Surrogate}/u);
  const unit = value.charCodeAt(index).toString(16);
  return `has a lone surrogate, \\u${unit} at index ${index}, which UTF-8 cannot hold: use toWellFormed() or cut the text elsewhere`;
}

export function binaryProblem(value: unknown): string {
  const cause = typeof value === "string" ? ", and a string does not say its encoding" : "";
  return `is ${describe(value)}: binary takes a Uint8Array or Buffer${cause}`;
}

/** A path as an error shows it. */
export function fieldPath(path: string): string {
  return abbreviate(path, MAX_PATH_CHARS);
}

/** The part of a field path for a member, behind the `path` of its holder: `.id`, `[2]`, `["a b"]`. */
export function pathSegment(holder: object, key: string, path: string): string {
  if (Array.isArray(holder)) return `[${key}]`;
  if (!/^[\w$]+$/.test(key)) return `[${JSON.stringify(key)}]`;
  return path === "" ? key : `.${key}`;
}

export const SYMBOL_PROBLEM = "has a member named by a symbol, which would be left out";

/** Whether an object has an enumerable member named by a symbol, which JSON and Thrift's code would leave out. */
export function hasSymbols(object: object): boolean {
  const symbols = Object.getOwnPropertySymbols(object);
  return (
    symbols.length > 0 && symbols.some((symbol) => Object.prototype.propertyIsEnumerable.call(object, symbol))
  );
}

/** Whether a value is a plain object, also of another realm: not an instance of a class, not a Map. */
export function isPlainObject(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: object | null = Object.getPrototypeOf(value);
  const isPlain = prototype === null || Object.getPrototypeOf(prototype) === null;
  return isPlain && Object.prototype.toString.call(value) === "[object Object]";
}
