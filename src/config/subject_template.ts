/**
 * The subject of an event's message: text with places for the queue's name and for fields of the event.
 *
 * @module
 */
import { ConfigurationError } from "../errors.ts";
import { MAX_SUBJECT_CHARS, MAX_SUBJECT_TOKEN_CHARS } from "../limits.ts";
import { quote } from "./values.ts";

/** Tokens with dots between them, each of letters, digits, `_`, `-` and places in braces. */
const TEMPLATE = /^(?:[\w-]|\{[\w-]+(?:\.[\w-]+)*\})+(?:\.(?:[\w-]|\{[\w-]+(?:\.[\w-]+)*\})+)*$/;
const PLACE = /\{([^}]+)\}/g;
const MAX_PLACES = 8;

/** What stands where the event has no such field. */
const MISSING = "_";

/** A part of a subject: text, or the way to a field. */
type Part = string | readonly string[];

/** Makes subjects. */
export class SubjectTemplate {
  /** As it is written. */
  readonly text: string;
  readonly #parts: readonly Part[];

  /** @throws {ConfigurationError} it is none */
  constructor(text: string) {
    if (!TEMPLATE.test(text) || text.length > MAX_SUBJECT_CHARS) throw noTemplate(text);
    const parts = text.split(PLACE).map((part, index) => (index % 2 === 0 ? part : part.split(".")));
    if (parts.length > 2 * MAX_PLACES + 1) throw noTemplate(text);
    this.text = text;
    this.#parts = parts;
  }

  /** Whether it asks for a field of the event: then a message has one event. */
  get hasFields(): boolean {
    return this.#parts.some(isField);
  }

  /** How the subject of each event of a queue is made. The subject is always of as many tokens. */
  forQueue(queue: string): (body: Uint8Array) => string {
    const parts = this.#parts.map((part) =>
      typeof part === "string" || isField(part) ? part : token(queue),
    );
    if (!this.hasFields) {
      const subject = parts.join("");
      return () => subject;
    }
    return (body) => {
      const event = parse(body);
      return parts.map((part) => (typeof part === "string" ? part : token(lookUp(event, part)))).join("");
    };
  }
}

function isField(part: Part): boolean {
  return typeof part !== "string" && (part.length > 1 || part[0] !== "queue");
}

function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined; // a service may put anything
  }
}

/** A field by its names; or, where they are all numbers, of a Thrift struct in TJSONProtocol by its field ids. */
function lookUp(event: unknown, path: readonly string[]): unknown {
  const isThrift = path.every((name) => /^\d+$/.test(name));
  let value = event;
  for (const name of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
    if (isThrift) value = withoutType(value);
  }
  return value;
}

/** TJSONProtocol wraps each field's value in its type: `{"str": "click"}`. */
function withoutType(value: unknown): unknown {
  return typeof value === "object" && value !== null ? Object.values(value)[0] : undefined;
}

/** One token that NATS gives no meaning: what is no letter, digit, `_` or `-` becomes `_`. */
function token(value: unknown): string {
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") return MISSING;
  return (
    String(value)
      .slice(0, MAX_SUBJECT_TOKEN_CHARS)
      .replace(/[^\w-]/g, "_") || MISSING
  );
}

function noTemplate(text: string): ConfigurationError {
  const example = "events.{queue} or events.{queue}.{user.country}";
  return new ConfigurationError(
    `expected a subject such as ${example}: letters, digits, _, - and up to ${MAX_PLACES} fields in braces, ` +
      `with dots between, at most ${MAX_SUBJECT_CHARS} characters; got ${quote(text)}`,
  );
}
