/** Finds the events of a batch in its body, and checks each. */
import buffer from "node:buffer";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { HTTPException } from "hono/http-exception";
import { EventInvalidError } from "../errors.ts";
import { describe } from "../format.ts";
import { withSchema } from "../serializers/standard_schema.ts";
import { MAX_EVENT_BYTES } from "../wire/batch_format.ts";
import { MAX_REJECTION_CHARS, MAX_REJECTIONS_BYTES, type Rejection } from "../wire/rejections.ts";
import {
  beginsAsStruct,
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  DepthFault,
  expectByte,
  JsonFault,
  OPEN_BRACE,
  OPEN_BRACKET,
  StructFault,
  skipBrackets,
  skipInteger,
  skipSpace,
  skipStruct,
  skipValue,
} from "./event_scanner.ts";
import { EventList, type RequestVersion } from "./sinks/sink.ts";

/** How the events of a batch are checked. */
export interface EventChecks {
  /** The most events. Default: no limit. */
  readonly maxEvents?: number | undefined;
  /**
   * Whether the events of version 2 must be Thrift structs, and those of version 2j must not be. If false, version 2
   * takes any object. Default: true.
   */
  readonly checkStructs?: boolean | undefined;
}

/** The events of a batch. */
export interface ParsedEvents {
  /** All events, also the rejected ones. */
  readonly events: EventList;
  readonly rejections: Rejections;
}

/** Returns where an event that begins at `at` ends. @throws {JsonFault} it is not an event of the version */
type SkipEvent = (body: Uint8Array, at: number) => number;

/**
 * Finds the events of a batch, and rejects those that are too large, nest too deep, or are not of the batch's version.
 * The whole body is checked: it is valid JSON in UTF-8, except inside events that nest too deep.
 *
 * @throws {HTTPException} 400 when the body is not UTF-8, not JSON, or not a batch; 413 when it holds too many
 * events; 422 when the response cannot list all rejected events
 */
export function parseEvents(
  body: Uint8Array,
  version: RequestVersion,
  { maxEvents = Number.POSITIVE_INFINITY, checkStructs = true }: EventChecks = {},
): ParsedEvents {
  if (!buffer.isUtf8(body)) throw notJson();
  const elements = new Elements(body, skipperOf(version, checkStructs), maxEvents);
  try {
    if (version === "2") readList(elements, body);
    else readArray(elements, body);
  } catch (fault) {
    if (fault instanceof JsonFault) throw describeFault(body, version, fault);
    throw fault;
  }
  const { bounds, rejections } = elements;
  if (version === "2j" && checkStructs && areThriftStructs(body, bounds))
    for (let index = 0; index < elements.count; index++) rejections.add(index, THRIFT_AS_JSON);
  return { events: new EventList(body, Uint32Array.from(bounds)), rejections };
}

const JSON_AS_THRIFT = "for JSON events, set collector.version = 2j in the publisher";
const THRIFT_AS_JSON =
  "a Thrift struct, but /v2j takes plain JSON; for Thrift events, set collector.version = 2 in the publisher";

/**
 * Whether a publisher sends Thrift structs as plain JSON. A struct in TJSONProtocol is JSON too, such as
 * `{"1":{"str":"view"}}`. So this is only true if every event is a struct, each value having its type's name and form,
 * and at least one event has a field. Real JSON events fail this at their first key: it is not a number.
 */
function areThriftStructs(body: Uint8Array, bounds: readonly number[]): boolean {
  let hasFields = false;
  for (let at = 0; at < bounds.length; at += 2) {
    const [begin, end] = [bounds[at]!, bounds[at + 1]!];
    if (!beginsAsStruct(body, begin)) return false; // of JSON: without the cost of an error
    try {
      if (skipStruct(body, begin, 1) !== end) return false;
    } catch {
      return false;
    }
    hasFields ||= body[skipSpace(body, begin + 1)] !== CLOSE_BRACE;
  }
  return hasFields;
}

function skipperOf(version: RequestVersion, checkStructs: boolean): SkipEvent {
  if (version === "2j") return (body, at) => skipValue(body, at, 0);
  if (version === "2" && checkStructs) return (body, at) => skipStruct(body, at, 1);
  return (body, at) => {
    if (body[at] !== OPEN_BRACE) throw new JsonFault(at, "expected an object");
    return skipValue(body, at, 0);
  };
}

/** `[e1,e2]` */
function readArray(elements: Elements, body: Uint8Array): void {
  const first = skipSpace(body, expectByte(body, skipSpace(body, 0), OPEN_BRACKET));
  const end = body[first] === CLOSE_BRACKET ? first : elements.read(first);
  expectEnd(body, end + 1);
}

const LIST_OF_STRUCTS = tokens(
  OPEN_BRACE,
  '"1"',
  COLON,
  OPEN_BRACE,
  '"lst"',
  COLON,
  OPEN_BRACKET,
  '"rec"',
  COMMA,
);

/** `{"1":{"lst":["rec",2,e1,e2]}}` */
function readList(elements: Elements, body: Uint8Array): void {
  let next = 0;
  for (const token of LIST_OF_STRUCTS) next = expectToken(body, next, token);
  const digits = skipSpace(body, next);
  const afterCount = skipInteger(body, digits);
  const count = Number(Buffer.from(body.subarray(digits, afterCount)).toString("latin1"));
  const comma = skipSpace(body, afterCount);
  const end =
    body[comma] === CLOSE_BRACKET ? comma : elements.read(skipSpace(body, expectByte(body, comma, COMMA)));
  next = expectToken(body, end + 1, [CLOSE_BRACE]);
  expectEnd(body, expectToken(body, next, [CLOSE_BRACE]));
  if (count !== elements.count)
    throw new HTTPException(400, {
      message: `The list announces ${count} events and holds ${elements.count}.`,
    });
}

function tokens(...parts: readonly (number | string)[]): (readonly number[])[] {
  return parts.map((part) => (typeof part === "number" ? [part] : [...Buffer.from(part)]));
}

function expectToken(body: Uint8Array, at: number, token: readonly number[]): number {
  let next = skipSpace(body, at);
  for (const byte of token) next = expectByte(body, next, byte);
  return next;
}

function expectEnd(body: Uint8Array, at: number): void {
  const next = skipSpace(body, at);
  if (next !== body.length) throw new JsonFault(next);
}

/** Reads the elements of an array. */
class Elements {
  /** Where each element begins and ends. */
  readonly bounds: number[] = [];
  readonly rejections: Rejections = new Rejections();
  readonly #body: Uint8Array;
  readonly #skip: SkipEvent;
  readonly #maxEvents: number;

  constructor(body: Uint8Array, skip: SkipEvent, maxEvents: number) {
    this.#body = body;
    this.#skip = skip;
    this.#maxEvents = maxEvents;
  }

  get count(): number {
    return this.bounds.length / 2;
  }

  /** Reads one element or more. @returns where the closing bracket is */
  read(first: number): number {
    const body = this.#body;
    let next = first;
    for (;;) {
      const end = this.#readEvent(next);
      this.bounds.push(next, end);
      next = skipSpace(body, end);
      if (body[next] === CLOSE_BRACKET) return next;
      this.#checkCount(this.count + 1);
      next = skipSpace(body, expectByte(body, next, COMMA));
    }
  }

  #checkCount(count: number): void {
    if (count > this.#maxEvents)
      throw new HTTPException(413, { message: `The batch holds more than ${this.#maxEvents} events.` });
  }

  #readEvent(at: number): number {
    let end: number;
    try {
      end = this.#skip(this.#body, at);
    } catch (fault) {
      if (!(fault instanceof JsonFault)) throw fault;
      end = this.#findEnd(at);
      const problem = `${fault.message} at byte ${fault.at - at}`;
      const isOther = fault instanceof StructFault;
      this.rejections.add(
        this.count,
        isOther ? `not a Thrift struct (${problem}); ${JSON_AS_THRIFT}` : problem,
      );
      return end;
    }
    const sizeBytes = end - at;
    if (sizeBytes > MAX_EVENT_BYTES)
      this.rejections.add(this.count, `too large: ${sizeBytes} bytes, the limit is ${MAX_EVENT_BYTES}`);
    return end;
  }

  /** Finds the end of an event that is not of the version. @throws {JsonFault} it is not JSON either */
  #findEnd(at: number): number {
    try {
      return skipValue(this.#body, at, 0);
    } catch (fault) {
      if (fault instanceof DepthFault) return skipBrackets(this.#body, at);
      throw fault;
    }
  }
}

/** Distinguishes JSON that is not a batch from bytes that are not JSON. */
function describeFault(body: Uint8Array, version: RequestVersion, cause: JsonFault): HTTPException {
  const first = skipSpace(body, 0);
  try {
    expectEnd(body, skipValue(body, first, 0));
  } catch (fault) {
    if (!(fault instanceof DepthFault)) return notJson(cause);
  }
  const wanted = version === "2" ? 'an object {"1":{"lst":["rec",COUNT,...]}}' : "an array";
  return new HTTPException(400, {
    message: `The body is not a version ${version} batch: expected ${wanted}.`,
    cause,
  });
}

function notJson(cause?: Error): HTTPException {
  return new HTTPException(400, { message: "The body is not JSON in UTF-8.", cause });
}

/** The rejected events of a batch. */
export class Rejections {
  readonly #list: Rejection[] = [];
  readonly #indexes = new Set<number>();
  #sizeBytes = 0;

  get count(): number {
    return this.#list.length;
  }

  has(index: number): boolean {
    return this.#indexes.has(index);
  }

  /**
   * Adds an event, if it is not rejected already.
   *
   * @throws {HTTPException} 422 when the response would be too long: then nothing is stored, and publishers send
   * the batch in halves
   */
  add(index: number, error: string): void {
    if (this.#indexes.has(index)) return;
    const rejection = { index, error: error.slice(0, MAX_REJECTION_CHARS) };
    this.#sizeBytes += Buffer.byteLength(JSON.stringify(rejection)) + 1;
    if (this.#sizeBytes > MAX_REJECTIONS_BYTES)
      throw new HTTPException(422, {
        message: `Too many events are rejected to list them, event ${index} among them (${rejection.error}). Nothing was stored: send smaller batches.`,
      });
    this.#indexes.add(index);
    this.#list.push(rejection);
  }

  /** All rejected events, by index. */
  list(): Rejection[] {
    return this.#list.toSorted((one, other) => one.index - other.index);
  }
}

/**
 * Checks an event, and returns what is wrong with it, or undefined. The event is what `JSON.parse` returns: integers
 * beyond 2^53 have lost digits. The publisher gets the first 200 characters of the text.
 */
export type EventValidator = (event: unknown) => string | undefined;

const NOTHING = new Uint8Array(0);

/**
 * Makes a validator of a Standard Schema, for example of zod, valibot or arktype. Events are stored as they were sent:
 * the output of the schema is not used.
 *
 * @throws {ConfigurationError} it is not a Standard Schema
 */
export function schemaValidator(schema: StandardSchemaV1): EventValidator {
  const check = withSchema(schema, () => NOTHING);
  return (event) => {
    try {
      check(event);
      return undefined;
    } catch (error) {
      if (error instanceof EventInvalidError) return error.message;
      throw error;
    }
  };
}

/**
 * Rejects the events in which the validator finds a problem.
 *
 * @throws {HTTPException} 500 when the validator throws; 422 when the response cannot list all rejected events
 */
export function validateEvents({ events, rejections }: ParsedEvents, validate: EventValidator): void {
  for (let index = 0; index < events.count; index++) {
    if (rejections.has(index)) continue;
    const problem = runValidator(validate, JSON.parse(events.text(index)));
    if (problem !== undefined) rejections.add(index, problem);
  }
}

function runValidator(validate: EventValidator, event: unknown): string | undefined {
  try {
    const problem: unknown = validate(event);
    if (problem === undefined || typeof problem === "string") return problem;
    throw new TypeError(`validate must return a string or undefined, got ${describe(problem)}`);
  } catch (cause) {
    throw new HTTPException(500, {
      message: "The validator of the collector failed. Send the batch again.",
      cause,
    });
  }
}
