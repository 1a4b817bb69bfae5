/**
 * The text of a Thrift value in the JSON protocol; `undefined` for a value outside its type. Pure functions.
 *
 * Code generated for JavaScript uses objects for maps, so every map key is a string. Therefore a key may also be the
 * string that JavaScript makes of the value: `"7"` for an i32 or i64, `"0.1"` for a double, `"true"` for a bool.
 */
import { Buffer } from "node:buffer";

/** npm node-int64's `Int64`, which npm thrift has as `thrift.Int64`: eight bytes, the most significant first. */
export interface Int64Like {
  readonly buffer: Uint8Array;
  readonly offset: number;
  toOctetString(): string;
}

/** A 64-bit integer: a safe integer, a BigInt, or an `Int64` as npm thrift reads it. */
export type ThriftI64 = number | bigint | Int64Like;

/** An integer type: numbers from `min` to `max`, and BigInts of at most `bits` bits. */
export interface IntegerType {
  readonly name: string;
  readonly bits: number;
  readonly min: number;
  readonly max: number;
}

export const I8: IntegerType = { name: "i8", bits: 8, min: -(2 ** 7), max: 2 ** 7 - 1 };
export const I16: IntegerType = { name: "i16", bits: 16, min: -(2 ** 15), max: 2 ** 15 - 1 };
export const I32: IntegerType = { name: "i32", bits: 32, min: -(2 ** 31), max: 2 ** 31 - 1 };
/** Numbers beyond 2^53 are rejected, because they may have lost digits already. */
export const I64: IntegerType = {
  name: "i64",
  bits: 64,
  min: Number.MIN_SAFE_INTEGER,
  max: Number.MAX_SAFE_INTEGER,
};

const INTEGER_KEY = /^(0|-?[1-9]\d{0,18})$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function boolText(value: unknown, isKey: boolean): string | undefined {
  if (typeof value === "boolean") return value ? "1" : "0";
  if (!isKey) return undefined;
  return value === "true" ? "1" : value === "false" ? "0" : undefined;
}

export function integerText(value: unknown, type: IntegerType, isKey: boolean): string | undefined {
  if (typeof value === "number") {
    return Number.isInteger(value) && value >= type.min && value <= type.max ? String(value) : undefined;
  }
  const integer = toBigInt(value, isKey);
  return integer !== undefined && BigInt.asIntN(type.bits, integer) === integer ? String(integer) : undefined;
}

function toBigInt(value: unknown, isKey: boolean): bigint | undefined {
  if (typeof value === "bigint") return value;
  if (isKey && typeof value === "string") return INTEGER_KEY.test(value) ? BigInt(value) : undefined;
  return isInt64(value) ? readInt64(value) : undefined;
}

/** Not classes of other libraries, whose buffers may have the least significant byte first, or no sign. */
function isInt64(value: unknown): value is Int64Like {
  const { buffer, offset, toOctetString } = (value ?? {}) as Partial<Int64Like>;
  return buffer instanceof Uint8Array && typeof offset === "number" && typeof toOctetString === "function";
}

function readInt64({ buffer, offset }: Int64Like): bigint {
  return new DataView(buffer.buffer, buffer.byteOffset + offset, 8).getBigInt64(0);
}

/**
 * A BigInt must be exact as a double. JSON has no NaN and no Infinity, except as keys, which are strings: they are
 * written as Python writes them.
 */
export function doubleText(value: unknown, isKey: boolean): string | undefined {
  const double = typeof value === "bigint" ? exactDouble(value) : isKey ? keyToNumber(value) : value;
  if (typeof double !== "number") return undefined;
  if (Number.isFinite(double)) return formatDouble(double);
  return isKey ? NON_FINITE_KEYS[String(double)] : undefined;
}

function exactDouble(value: bigint): number | undefined {
  const double = Number(value);
  return Number.isFinite(double) && BigInt(double) === value ? double : undefined;
}

const NON_FINITE_KEYS: Record<string, string> = { NaN: "nan", Infinity: "inf", "-Infinity": "-inf" };

function keyToNumber(key: unknown): unknown {
  return typeof key === "string" && String(Number(key)) === key ? Number(key) : key;
}

/** Quotes, backslashes, control characters, lone surrogates. */
const NEEDS_CARE = /["\\\p{Cc}\p{Surrogate}]/u;

/**
 * JSON has the same escapes as Python's TJSONProtocol: `\" \\ \b \f \n \r \t`. Other control
 * characters, which Python writes raw, are written as `\u00XX`.
 */
export function stringText(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  if (!NEEDS_CARE.test(value)) return `"${value}"`; // half the time of JSON.stringify
  return value.isWellFormed() ? JSON.stringify(value) : undefined;
}

/** Standard Base64 with padding. */
export function binaryText(value: unknown): string | undefined {
  if (!(value instanceof Uint8Array)) return undefined;
  return `"${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64")}"`;
}

/** Lower case, as Python writes a `uuid.UUID`. */
export function uuidText(value: unknown): string | undefined {
  return typeof value === "string" && UUID.test(value) ? `"${value.toLowerCase()}"` : undefined;
}

/**
 * A double as C's `%.17g` writes it, byte for byte, like Python's TJSONProtocol. Own code, because no package does this
 * exactly (they use `toFixed`, or round ties as JavaScript does).
 *
 * JavaScript's `toPrecision(17)` also rounds the exact value, but it keeps trailing zeros, uses an exponent below 1e-6
 * (C: below 1e-4) of one digit or more (C: two or more), and rounds a tie up (C: to the even digit).
 *
 * @param value - any finite double
 */
export function formatDouble(value: number): string {
  if (Number.isSafeInteger(value)) return Object.is(value, -0) ? "-0" : String(value);
  if (Number.isInteger(value * 1_024) && Math.abs(value) < 1e5) return String(value); // exact in 15 digits; 8 times faster
  const digits = Math.abs(value) < 1e-4 ? value.toExponential(16) : value.toPrecision(17);
  const [rounded = "", exponent] = digits.split("e");
  const mantissa = trimZeros(isTie(value) ? roundToEven(rounded) : rounded);
  return exponent === undefined ? mantissa : `${mantissa}e${exponent.replace(/^.\d$/, padExponent)}`;
}

/** The 18th and last significant digit is a 5. */
const TIE = /^-?\d\.\d{16}50+e/;

/**
 * Whether the value lies exactly between two numbers of 17 digits. Such a value is N / 10^k for
 * an odd N of 18 digits. N divided by 5^k must be an integer of at most 53 bits, so k is at most 25
 * and the value is a multiple of 2^-25. Below 1e16 such a value has at most 41 digits, which are all printed.
 */
function isTie(value: number): boolean {
  return Math.abs(value) < 1e16 && Number.isInteger(value * 2 ** 25) && TIE.test(value.toExponential(40));
}

/** Undoes JavaScript's rounding up if it made the last digit odd. An odd digit needs no borrow. */
function roundToEven(mantissa: string): string {
  return mantissa.replace(/[13579]$/, (digit) => String(Number(digit) - 1));
}

function trimZeros(mantissa: string): string {
  return mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
}

function padExponent(exponent: string): string {
  return `${exponent[0]}0${exponent[1]}`;
}
