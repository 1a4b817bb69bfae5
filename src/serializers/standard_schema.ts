/**
 * Checks events with a schema before they are serialized. Any Standard Schema works (https://standardschema.dev), such as
 * those of zod, valibot and arktype.
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { ConfigurationError, EventError, EventInvalidError, type EventIssue } from "../errors.ts";
import { abbreviate, describe, errorName } from "../format.ts";
import { readOption } from "../options.ts";
import { pathSegment } from "./problems.ts";

/** How many issues of one event are kept. An event with a list of 100,000 may have as many issues. */
export const MAX_EVENT_ISSUES = 20;

/**
 * A serializer that accepts the input of `schema` and serializes its output: with defaults, and without members that the
 * schema strips.
 *
 * It throws EventInvalidError for an event that the schema rejects, and ConfigurationError for a schema that validates
 * asynchronously, which shows only when it is used.
 *
 * @throws {ConfigurationError} it is not a Standard Schema of version 1
 */
export function withSchema<Input, Output>(
  schema: StandardSchemaV1<Input, Output>,
  serialize: (event: Output) => Uint8Array,
): (event: Input) => Uint8Array {
  const standard = readOption("schema", () => standardOf(schema));
  return (event) => serialize(check(standard, event));
}

type Standard<Input, Output> = StandardSchemaV1.Props<Input, Output>;

function standardOf<Input, Output>(schema: StandardSchemaV1<Input, Output>): Standard<Input, Output> {
  const standard = schema?.["~standard"]; // a schema of arktype is a function
  if (standard?.version === 1 && typeof standard.validate === "function") return standard;
  const problem =
    "is not a Standard Schema of version 1: pass a schema of zod, valibot, arktype or the like.";
  throw new ConfigurationError(problem, { key: "schema" });
}

/** The output of the schema for an event. */
function check<Input, Output>(standard: Standard<Input, Output>, event: Input): Output {
  try {
    const result = standard.validate(event);
    if ("then" in result) throw asyncSchema(result, standard.vendor);
    if (result.issues) throw new EventInvalidError(describeSchemaIssues(result.issues, event));
    return result.value;
  } catch (cause) {
    if (EventError.is(cause)) throw cause;
    // The message may quote the event, so it is only in the cause.
    const problem = `its schema threw ${errorName(cause)}`;
    throw new EventInvalidError([{ field: "", problem, found: undefined }], undefined, { cause });
  }
}

function asyncSchema(result: PromiseLike<unknown>, vendor: string): ConfigurationError {
  void result.then(undefined, () => {}); // a rejection must not end the process
  const problem = `is one of ${vendor} that validates asynchronously, and put does not wait: leave async checks and transforms out of it.`;
  return new ConfigurationError(problem, { key: "schema" });
}

/** The longest field and the longest problem shown, in characters. */
const MAX_TEXT_CHARS = 200;

/** From this length on, in characters, a text of the event is also hidden where it is not quoted. Shorter ones are words. */
const MIN_BARE_CHARS = 8;

/** A longer quotation is always hidden: it may be a text of the event that was trimmed or cut. */
const LONG_QUOTATION = /"[^"]{41,}"?/g;

/** How many texts of a value are searched in a message, and how deep they may be in the value. */
const MAX_TEXTS = 100;
const MAX_TEXT_DEPTH = 4;

/** The issues of an event, the first {@link MAX_EVENT_ISSUES} of them. */
function describeSchemaIssues(issues: readonly StandardSchemaV1.Issue[], event: unknown): EventIssue[] {
  return issues.slice(0, MAX_EVENT_ISSUES).map((issue) => describeIssue(issue, event));
}

function describeIssue({ message, path = [] }: StandardSchemaV1.Issue, event: unknown): EventIssue {
  const { field, value, isFound } = follow(event, path);
  const shown = abbreviate(field, MAX_TEXT_CHARS);
  try {
    const problem = abbreviate(hideTexts(message, value), MAX_TEXT_CHARS);
    return { field: shown, problem, found: isFound ? describeFound(value) : undefined };
  } catch (error) {
    return { field: shown, problem: `cannot be read: ${errorName(error)} was thrown`, found: undefined };
  }
}

/** The end of a path: its field, and the value there, or the last value on the way that could be read. */
interface Place {
  field: string;
  value: unknown;
  isFound: boolean;
}

function follow(event: unknown, path: NonNullable<StandardSchemaV1.Issue["path"]>): Place {
  const place: Place = { field: "", value: event, isFound: true };
  for (const segment of path) {
    const key = typeof segment === "object" ? segment.key : segment;
    place.field += fieldOf(place, key);
    const member = place.isFound ? readMember(place.value, key) : undefined;
    if (member === undefined) place.isFound = false;
    else place.value = member.value;
  }
  return place;
}

function fieldOf({ value, isFound, field }: Place, key: PropertyKey): string {
  if (typeof key !== "string") return `[${String(key)}]`;
  return pathSegment(isFound && Array.isArray(value) ? value : {}, key, field);
}

/** Undefined if the holder has no named members, such as a Map, or if reading throws. */
function readMember(holder: unknown, key: PropertyKey): { value: unknown } | undefined {
  if (typeof holder !== "object" || holder === null || holder instanceof Map) return undefined;
  try {
    return { value: (holder as Record<PropertyKey, unknown>)[key] };
  } catch {
    return undefined;
  }
}

function describeFound(value: unknown): string {
  if (typeof value === "string") return `a string of length ${value.length}`;
  return Array.isArray(value) ? `an array of length ${value.length}` : describe(value);
}

/** Removes the texts of a value from a message. */
function hideTexts(message: string, value: unknown): string {
  let shown = message;
  for (const text of textsOf(value)) {
    shown = shown.replaceAll(JSON.stringify(text), '"..."').replaceAll(`"${text}"`, '"..."');
    const bare = text.trim();
    if (bare.length >= MIN_BARE_CHARS) shown = shown.replaceAll(bare, "...");
  }
  return shown.replace(LONG_QUOTATION, '"..."');
}

function textsOf(value: unknown, depth: number = 0): string[] {
  if (typeof value === "string") return value === "" ? [] : [value];
  if (typeof value !== "object" || value === null || depth === MAX_TEXT_DEPTH) return [];
  const texts: string[] = [];
  for (const key of Object.keys(value).slice(0, MAX_TEXTS)) {
    const member = readMember(value, key);
    texts.push(...textsOf(member?.value, depth + 1));
    if (texts.length >= MAX_TEXTS) break;
  }
  return texts;
}
