/**
 * The events of a batch: where each stands in the body, and which of them are no events.
 *
 * @module
 */
import { isUtf8 } from "node:buffer";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { HTTPException } from "hono/http-exception";
import { EventInvalidError } from "../errors.ts";
import { withSchema } from "../serializers/standard_schema.ts";
import { MAX_EVENT_BYTES } from "../wire/batch_format.ts";
import { MAX_REJECTION_CHARS, MAX_REJECTIONS_BYTES, type Rejection } from "../wire/rejections.ts";
import {
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  DepthFault,
  expectByte,
  JsonFault,
  NO_FIELD,
  OPEN_BRACE,
  OPEN_BRACKET,
  skipBrackets,
  skipInteger,
  skipSpace,
  skipStruct,
  skipValue,
} from "./event_scanner.ts";
import { EventList, type RequestVersion } from "./sinks/sink.ts";

/** What a batch must be besides a batch. */
export interface EventChecks {
  /** How many events it may hold. Default: as many as fit. */
  readonly maxEvents?: number | undefined;
  /** Whether each event of version 2 must be a Thrift struct; else any object is taken. Default: true. */
  readonly checkStructs?: boolean | undefined;
}

/** A batch's events. */
export interface ParsedEvents {
  /** All of them, those at fault included. */
  readonly events: EventList;
  /** Those at fault. */
  readonly rejections: Rejections;
}

/** Where an event that begins at `at` ends. @throws {JsonFault} it is none */
type SkipEvent = (body: Uint8Array, at: number) => number;

/**
 * Finds the events of a batch. The whole body is valid JSON in UTF-8 then, but for what is in events that nest
 * too deep, which are rejected.
 *
 * @throws {HTTPException} 400 when the body is not UTF-8, not JSON, or not a batch; 413 when it holds too many
 * events; 422 when so many are at fault that the answer cannot name them
 */
export function parseEvents(
  body: Uint8Array,
  version: RequestVersion,
  { maxEvents = Number.POSITIVE_INFINITY, checkStructs = true }: EventChecks = {},
): ParsedEvents {
  if (!isUtf8(body)) throw notJson();
  const elements = new Elements(body, skipperOf(version, checkStructs), maxEvents);
  try {
    if (version === "2") readList(elements, body);
    else readArray(elements, body);
  } catch (fault) {
    if (fault instanceof JsonFault) throw describeFault(body, version, fault);
    throw fault;
  }
  return { events: new EventList(body, Uint32Array.from(elements.bounds)), rejections: elements.rejections };
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
    throw new HTTPException(400, { message: `The list says ${count} events and holds ${elements.count}.` });
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

/** The elements of an array, one after the other. */
class Elements {
  /** Where each begins and ends. */
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

  /** Reads one element or more. @returns where the array's bracket is */
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
      const hint = fault.message === NO_FIELD ? "; is version 2j sent to /v2?" : "";
      this.rejections.add(this.count, `${fault.message} at byte ${fault.at - at}${hint}`);
      return end;
    }
    const sizeBytes = end - at;
    if (sizeBytes > MAX_EVENT_BYTES)
      this.rejections.add(this.count, `has ${sizeBytes} bytes, and ${MAX_EVENT_BYTES} are allowed`);
    return end;
  }

  /** @throws {JsonFault} it is not only another event than it should be, but not JSON */
  #findEnd(at: number): number {
    try {
      return skipValue(this.#body, at, 0);
    } catch (fault) {
      if (fault instanceof DepthFault) return skipBrackets(this.#body, at);
      throw fault;
    }
  }
}

/** Tells what is JSON, but another, from what is not. */
function describeFault(body: Uint8Array, version: RequestVersion, cause: JsonFault): HTTPException {
  try {
    expectEnd(body, skipValue(body, skipSpace(body, 0), 0));
  } catch (fault) {
    if (!(fault instanceof DepthFault)) return notJson(cause);
  }
  return new HTTPException(400, { message: `The body is not a version ${version} batch.`, cause });
}

function notJson(cause?: Error): HTTPException {
  return new HTTPException(400, { message: "The body is not JSON in UTF-8.", cause });
}

/** Events at fault, in the order of the request. */
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
   * Adds an event, unless it is there.
   *
   * @throws {HTTPException} 422 when the answer would be too long: then nothing is stored, and publishers send
   * the batch in halves
   */
  add(index: number, error: string): void {
    if (this.#indexes.has(index)) return;
    const rejection = { index, error: error.slice(0, MAX_REJECTION_CHARS) };
    this.#sizeBytes += Buffer.byteLength(JSON.stringify(rejection)) + 1;
    if (this.#sizeBytes > MAX_REJECTIONS_BYTES)
      throw new HTTPException(422, {
        message: `More events are rejected than can be listed, event ${index} among them (${rejection.error}). Nothing was stored: send fewer at once.`,
      });
    this.#indexes.add(index);
    this.#list.push(rejection);
  }

  /** All of them, by their indexes. */
  list(): Rejection[] {
    return this.#list.toSorted((one, other) => one.index - other.index);
  }
}

/**
 * Says what is wrong with an event; undefined: nothing is. The event is as `JSON.parse` reads it: integers beyond
 * 2^53 have lost digits. What it says goes to the publisher, its first 200 characters.
 */
export type EventValidator = (event: unknown) => string | undefined;

const NOTHING = new Uint8Array(0);

/**
 * A validator of a Standard Schema, such as of zod, valibot or arktype. What the schema makes of an event is not
 * used: events are stored as they were sent.
 *
 * @throws {ConfigurationError} it is none
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
 * Adds the events that the validator fails to the rejections.
 *
 * @throws {HTTPException} 500 when it throws; 422 when more are rejected than can be listed
 */
export function validateEvents({ events, rejections }: ParsedEvents, validate: EventValidator): void {
  for (let index = 0; index < events.count; index++) {
    if (rejections.has(index)) continue;
    const problem = attempt(validate, JSON.parse(events.text(index)));
    if (problem !== undefined) rejections.add(index, problem);
  }
}

function attempt(validate: EventValidator, event: unknown): string | undefined {
  try {
    const problem: unknown = validate(event);
    if (problem === undefined || typeof problem === "string") return problem;
    throw new TypeError(`validate must return a string or undefined, not ${typeof problem}`);
  } catch (cause) {
    throw new HTTPException(500, { message: "The collector's check of events failed.", cause });
  }
}
