/**
 * The subject of an event's message: text with places for a name that all events share, such as the queue's, and for
 * fields of the event.
 *
 * @module
 */
import { ConfigurationError } from "../errors.ts";
import { checkOption, STRING } from "../options.ts";
import { quote } from "./parsers.ts";

/** The longest token that a queue's name or a field of an event makes in a NATS subject, in characters: what follows is cut off. */
const MAX_SUBJECT_TOKEN_CHARS = 64;

/** The longest `nats.subject`, in characters: with its fields filled in it stays far below a NATS line of 4,096. */
const MAX_SUBJECT_CHARS = 255;

/** Tokens with dots between them, each of letters, digits, `_`, `-` and places in braces. */
const TEMPLATE = /^(?:[\w-]|\{[\w-]+(?:\.[\w-]+)*\})+(?:\.(?:[\w-]|\{[\w-]+(?:\.[\w-]+)*\})+)*$/;
const PLACE = /\{([^}]+)\}/g;
const MAX_PLACES = 8;

/** What stands where the event has no such field. */
const MISSING = "_";

/** Matches any one token in a filter of NATS. */
const ANY_TOKEN = "*";

/** A part of a subject: text, or the way to a field. */
type Part = string | readonly string[];

/** A template of the subjects of messages, with fields of the event in braces. */
export class SubjectTemplate {
  /** As it is written. */
  readonly text: string;
  readonly #parts: readonly Part[];
  readonly #shared: string;

  /**
   * Of a text such as `events.{queue}.{user.country}`.
   *
   * @param shared the name in braces that is the same for all events: `queue` of a publisher, `key` of a collector
   * @throws {ConfigurationError} the text is not a template
   */
  constructor(text: string, shared: string) {
    checkOption("text", text, STRING);
    checkOption("shared", shared, STRING);
    if (!TEMPLATE.test(text) || text.length > MAX_SUBJECT_CHARS) throw noTemplate(text, shared);
    const parts = text.split(PLACE).map((part, index) => (index % 2 === 0 ? part : part.split(".")));
    if (parts.length > 2 * MAX_PLACES + 1) throw noTemplate(text, shared);
    this.text = text;
    this.#parts = parts;
    this.#shared = shared;
  }

  /** Whether it asks for a field of the event: then a message has one event. */
  get hasFields(): boolean {
    return this.#parts.some((part) => this.#isField(part));
  }

  /** How the subject of each event is made, where the shared name is this one. It always has as many tokens. */
  withName(name: string): (body: Uint8Array) => string {
    const parts = this.#parts.map((part) => (this.#isShared(part) ? token(name) : part));
    if (!this.hasFields) {
      const subject = parts.join("");
      return () => subject;
    }
    return (body) => {
      const event = parse(body);
      return parts.map((part) => (typeof part === "string" ? part : token(lookUp(event, part)))).join("");
    };
  }

  /** Matches the subjects of all events: `*` for each token with a field, and for the shared name unless it is given. */
  filter(name?: string): string {
    const parts = this.#parts.map((part) => {
      if (typeof part === "string") return part;
      return this.#isShared(part) && name !== undefined ? token(name) : ANY_TOKEN;
    });
    const tokens = parts.join("").split(".");
    return tokens.map((text) => (text.includes(ANY_TOKEN) ? ANY_TOKEN : text)).join(".");
  }

  #isShared(part: Part): boolean {
    return typeof part !== "string" && part.length === 1 && part[0] === this.#shared;
  }

  #isField(part: Part): boolean {
    return typeof part !== "string" && !this.#isShared(part);
  }
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

function noTemplate(text: string, shared: string): ConfigurationError {
  const example = `events.{${shared}} or events.{${shared}}.{user.country}`;
  return new ConfigurationError(
    `expected a subject such as ${example}: letters, digits, _, - and up to ${MAX_PLACES} fields in braces, ` +
      `with dots between, at most ${MAX_SUBJECT_CHARS} characters; got ${quote(text)}`,
  );
}
