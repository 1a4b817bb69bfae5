/**
 * The template of the subject of an event's message: text with a name that all events share, such as the queue's, and
 * fields of the event in braces.
 */
import { ConfigurationError } from "../errors.ts";
import { checkOption, STRING } from "../options.ts";
import { quote } from "./parsers.ts";

/** The longest token that a name or a field gives, in characters: the rest is cut off. */
const MAX_SUBJECT_TOKEN_CHARS = 64;

/** The longest template, in characters: with all fields, a subject stays far below a NATS line of 4,096. */
const MAX_SUBJECT_CHARS = 255;

/** Tokens separated by dots, each of letters, digits, `_`, `-` and placeholders in braces. */
const TEMPLATE = /^(?:[\w-]|\{[\w-]+(?:\.[\w-]+)*\})+(?:\.(?:[\w-]|\{[\w-]+(?:\.[\w-]+)*\})+)*$/;
const PLACEHOLDER = /\{([^}]+)\}/g;
const MAX_PLACEHOLDERS = 8;

/** Replaces a field that the event does not have. */
const MISSING = "_";

/** Matches any single token in a NATS filter. */
const ANY_TOKEN = "*";

/** A part of a template: text, or the path of a field. */
type Part = string | readonly string[];

/** A template of message subjects, with fields of the event in braces. */
export class SubjectTemplate {
  /** The template as written. */
  readonly text: string;
  readonly #parts: readonly Part[];
  readonly #shared: string;

  /**
   * Parses a template such as `events.{queue}.{user.country}`.
   *
   * @param shared the placeholder with the same value for all events: `queue` in a publisher, `key` in a collector
   * @throws {ConfigurationError} the text is not a template
   */
  constructor(text: string, shared: string) {
    checkOption("text", text, STRING);
    checkOption("shared", shared, STRING);
    if (!TEMPLATE.test(text) || text.length > MAX_SUBJECT_CHARS) throw notATemplate(text, shared);
    const parts = text.split(PLACEHOLDER).map((part, index) => (index % 2 === 0 ? part : part.split(".")));
    if (parts.length > 2 * MAX_PLACEHOLDERS + 1) throw notATemplate(text, shared);
    this.text = text;
    this.#parts = parts;
    this.#shared = shared;
  }

  /** Whether the template has fields of the event: then each message holds one event. */
  get hasFields(): boolean {
    return this.#parts.some((part) => this.#isField(part));
  }

  /** Returns the function that makes the subject of an event, for a shared name. All subjects have the same number of tokens. */
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

  /** The NATS filter for all subjects: `*` for each token with a field, and for the shared name if it is not given. */
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
    return undefined; // the event is not JSON
  }
}

/** Looks up a field by names or, if all are numbers, a field of a Thrift struct in TJSONProtocol by ids. */
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

/** Makes a token without special meaning in NATS: characters other than letters, digits, `_` and `-` become `_`. */
function token(value: unknown): string {
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") return MISSING;
  return (
    String(value)
      .slice(0, MAX_SUBJECT_TOKEN_CHARS)
      .replace(/[^\w-]/g, "_") || MISSING
  );
}

function notATemplate(text: string, shared: string): ConfigurationError {
  const example = `events.{${shared}} or events.{${shared}}.{user.country}`;
  return new ConfigurationError(
    `expected a subject such as ${example}: letters, digits, _, - and up to ${MAX_PLACEHOLDERS} fields in braces, ` +
      `separated by dots, at most ${MAX_SUBJECT_CHARS} characters, got ${quote(text)}`,
  );
}
