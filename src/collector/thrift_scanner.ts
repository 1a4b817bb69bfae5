/**
 * Checking that an event is a struct in Thrift's TJSONProtocol, `{"1":{"i64":5},"2":{"rec":{}}}`, by its own types:
 * no IDL says here which fields there are.
 *
 * @module
 */
import { MAX_EVENT_DEPTH } from "../serializers/problems.ts";
import type { THRIFT_TYPES } from "../serializers/thrift_protocol.ts";
import {
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COMMA,
  DepthFault,
  expectByte,
  JsonFault,
  MINUS,
  NINE,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
  skipColon,
  skipInteger,
  skipKey,
  skipNumber,
  skipSpace,
  skipString,
  ZERO,
} from "./json_scanner.ts";

/** What a `dbl` may be besides a number. */
const NOT_NUMBERS = ["NaN", "Infinity", "-Infinity"].map((word) => Buffer.from(`"${word}"`));

const LARGEST_OF_TWO = 0xffff;

/** Where a value of a type ends. @throws {JsonFault} it is none of that type */
type SkipTyped = (body: Uint8Array, at: number, depth: number) => number;

/** How each of Thrift's types is read: as many as the serializer writes. */
const SKIPPERS: Readonly<Record<keyof typeof THRIFT_TYPES, SkipTyped>> = {
  tf: skipNumeric, // 0 or 1
  i8: skipNumeric,
  i16: skipNumeric,
  i32: skipNumeric,
  i64: skipNumeric, // with a fraction, where Python was given a float, as its own documentation does
  dbl: skipDouble,
  str: skipText, // binary, too, in Base64
  uid: skipText,
  rec: skipStruct,
  lst: skipList,
  set: skipList,
  map: skipMap,
};

const TYPES: ReadonlyMap<number, SkipTyped> = new Map(
  Object.entries(SKIPPERS).map(([name, skip]) => [codeOf(Buffer.from(`"${name}"`), 0), skip]),
);

/**
 * Where the struct that begins at `at` ends.
 *
 * @throws {JsonFault} it is none, or not JSON
 * @throws {DepthFault} it nests too deep
 */
export function skipStruct(body: Uint8Array, at: number, depth: number): number {
  if (depth > MAX_EVENT_DEPTH) throw new DepthFault(at);
  if (body[at] !== OPEN_BRACE) throw new JsonFault(at, "expected a struct");
  let next = skipSpace(body, at + 1);
  if (body[next] === CLOSE_BRACE) return next + 1;
  for (;;) {
    next = skipField(body, skipFieldId(body, next), depth);
    next = skipSpace(body, next);
    if (body[next] === CLOSE_BRACE) return next + 1;
    next = skipSpace(body, expectByte(body, next, COMMA));
  }
}

/** What plain JSON fails with. */
export const NO_FIELD = "expected the id of a field";

function skipFieldId(body: Uint8Array, at: number): number {
  const byte = body[at + 1]!;
  const isInteger = body[at] === QUOTE && (byte === MINUS || (byte >= ZERO && byte <= NINE));
  const next = isInteger ? skipInteger(body, at + 1) : at;
  if (!isInteger || body[next] !== QUOTE) throw new JsonFault(at, NO_FIELD);
  return skipColon(body, next + 1);
}

/** `{"i64":5}` */
function skipField(body: Uint8Array, at: number, depth: number): number {
  if (body[at] !== OPEN_BRACE) throw new JsonFault(at, "expected a field with its type");
  if (depth >= MAX_EVENT_DEPTH) throw new DepthFault(at);
  const type = skipSpace(body, at + 1);
  const skip = typeAt(body, type);
  const next = skip(body, skipKey(body, type), depth + 2);
  const end = skipSpace(body, next);
  if (body[end] !== CLOSE_BRACE) throw new JsonFault(end, "expected the end of a field");
  return end + 1;
}

function typeAt(body: Uint8Array, at: number): SkipTyped {
  const skip = TYPES.get(codeOf(body, at));
  if (skip === undefined) throw new JsonFault(at, "expected the name of a type");
  return skip;
}

/** The name of a type, in quotes, as a number; -1: it has not two or three bytes. */
function codeOf(body: Uint8Array, at: number): number {
  if (body[at] !== QUOTE) return -1;
  const two = (body[at + 1]! << 8) | body[at + 2]!;
  if (body[at + 3] === QUOTE) return two;
  const three = (two << 8) | body[at + 3]!;
  return body[at + 4] === QUOTE && three > LARGEST_OF_TWO ? three : -1;
}

function skipNumeric(body: Uint8Array, at: number): number {
  const byte = body[at]!;
  if (byte !== MINUS && !(byte >= ZERO && byte <= NINE)) throw new JsonFault(at, "expected a number");
  return skipNumber(body, at);
}

function skipDouble(body: Uint8Array, at: number): number {
  if (body[at] !== QUOTE) return skipNumeric(body, at);
  const word = NOT_NUMBERS.find((name) => name.every((byte, index) => body[at + index] === byte));
  if (word === undefined) throw new JsonFault(at, "expected a number");
  return at + word.length;
}

function skipText(body: Uint8Array, at: number): number {
  if (body[at] !== QUOTE) throw new JsonFault(at, "expected a string");
  return skipString(body, at);
}

/** `["i32",2,5,6]` */
function skipList(body: Uint8Array, at: number, depth: number): number {
  if (depth > MAX_EVENT_DEPTH) throw new DepthFault(at);
  if (body[at] !== OPEN_BRACKET) throw new JsonFault(at, "expected a list");
  const type = skipSpace(body, at + 1);
  const skip = typeAt(body, type);
  const size = skipComma(body, skipString(body, type));
  let next = skipInteger(body, size);
  const count = readCount(body, size, next);
  for (let index = 0; index < count; index++) next = skip(body, skipComma(body, next), depth + 1);
  return expectEnd(body, next);
}

/** `["str","i32",1,{"a":5}]`; a key that is a number stands in quotes. */
function skipMap(body: Uint8Array, at: number, depth: number): number {
  if (depth > MAX_EVENT_DEPTH) throw new DepthFault(at);
  if (body[at] !== OPEN_BRACKET) throw new JsonFault(at, "expected a map");
  const keyType = skipSpace(body, at + 1);
  typeAt(body, keyType);
  const valueType = skipComma(body, skipString(body, keyType));
  const skip = typeAt(body, valueType);
  const size = skipComma(body, skipString(body, valueType));
  const next = skipInteger(body, size);
  const members = skipComma(body, next);
  return expectEnd(body, skipMembers(body, members, { skip, depth, count: readCount(body, size, next) }));
}

function skipMembers(
  body: Uint8Array,
  at: number,
  { skip, depth, count }: { skip: SkipTyped; depth: number; count: number },
): number {
  if (body[at] !== OPEN_BRACE) throw new JsonFault(at, "expected the members of a map");
  if (depth >= MAX_EVENT_DEPTH) throw new DepthFault(at);
  let next = skipSpace(body, at + 1);
  for (let index = 0; index < count; index++) {
    if (index > 0) next = skipComma(body, next);
    next = skip(body, skipKey(body, next), depth + 2);
  }
  const end = skipSpace(body, next);
  if (body[end] !== CLOSE_BRACE) throw new JsonFault(end, `expected a map of ${count}`);
  return end + 1;
}

function readCount(body: Uint8Array, from: number, to: number): number {
  return Number(Buffer.from(body.buffer, body.byteOffset + from, to - from).toString("latin1"));
}

function skipComma(body: Uint8Array, at: number): number {
  const next = skipSpace(body, at);
  if (body[next] !== COMMA) throw new JsonFault(next, "expected one more");
  return skipSpace(body, next + 1);
}

function expectEnd(body: Uint8Array, at: number): number {
  const next = skipSpace(body, at);
  if (body[next] !== CLOSE_BRACKET) throw new JsonFault(next, "expected the end of a list or map");
  return next + 1;
}
