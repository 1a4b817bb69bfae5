/**
 * How events are changed before they are sent: by a function of the service, and by dropping fields. The queue's file
 * keeps them as they were put.
 */
import type { PublisherCounts } from "./counts.ts";
import type {
  Delivery,
  Destination,
  LeasedBatch,
  Outcome,
  RejectedEvent,
  StoredEvent,
} from "./destinations/destination.ts";

/** What a transform knows about an event, apart from its content. */
export interface TransformContext {
  /** The queue's name. */
  readonly queue: string;
  /** The event's id. */
  readonly id: number;
}

/** How events are changed before they are sent. */
export interface TransformOptions {
  /**
   * Gets each event, parsed, and returns what is sent instead, or a promise of it. If it returns undefined or null, the
   * event is settled without being sent. Integers beyond 2^53 are of type bigint. If it throws, or the event is not JSON,
   * the event becomes a dead letter. It runs again on each attempt; the file keeps the event as it was put. Default: none.
   */
  transform?(event: unknown, context: TransformContext): unknown;
}

/** How the events of a queue are changed. */
export interface TransformRules extends TransformOptions {
  /** The paths of the fields to drop. */
  readonly dropFields: readonly string[];
  readonly counts: PublisherCounts;
}

/** A destination that gets the changed events; the given one if there are no rules. */
export function withTransform(destination: Destination, rules: TransformRules): Destination {
  if (rules.transform === undefined && rules.dropFields.length === 0) return destination;
  return new TransformedDestination(destination, rules);
}

/** The changed events of a batch, and what happened to the others. */
interface Transformed {
  readonly events: readonly StoredEvent[];
  readonly failed: readonly RejectedEvent[];
  readonly dropped: number;
  /** From how many events a field was dropped. */
  readonly redacted: number;
}

class TransformedDestination implements Destination {
  readonly url: string;
  readonly timeoutMs: number;
  readonly emptyBatchBytes: number;
  readonly eventOverheadBytes: number | undefined;
  readonly #destination: Destination;
  readonly #rules: TransformRules;
  readonly #paths: readonly (readonly string[])[];

  constructor(destination: Destination, rules: TransformRules) {
    this.url = destination.url;
    this.timeoutMs = destination.timeoutMs;
    this.emptyBatchBytes = destination.emptyBatchBytes;
    this.eventOverheadBytes = destination.eventOverheadBytes;
    this.#destination = destination;
    this.#rules = rules;
    this.#paths = rules.dropFields.map((field) => field.split("."));
  }

  get risks(): readonly string[] {
    return this.#destination.risks ?? [];
  }

  async checkRisks(): Promise<readonly string[]> {
    return (await this.#destination.checkRisks?.()) ?? [];
  }

  async close(): Promise<void> {
    await this.#destination.close();
  }

  async prepare(batch: LeasedBatch): Promise<Delivery> {
    const done = await this.#transform(batch);
    const nothing: Outcome = { kind: "accepted" };
    const { sizeBytes, send }: Delivery =
      done.events.length === 0
        ? { sizeBytes: 0, send: async () => nothing }
        : await this.#destination.prepare(batchOf(batch, done.events));
    return { sizeBytes, send: async (stop) => this.#settle(await send(stop), done) };
  }

  async #transform(batch: LeasedBatch): Promise<Transformed> {
    const events: StoredEvent[] = [];
    const failed: RejectedEvent[] = [];
    let dropped = 0;
    let redacted = 0;
    for (const event of batch.events()) {
      try {
        const { body, isRedacted } = this.#redact(await this.#apply(event, batch.queue));
        redacted += Number(isRedacted);
        if (body === undefined) dropped++;
        else events.push({ ...event, body });
      } catch (error) {
        const { message } = error instanceof Error ? error : new Error(String(error));
        failed.push({ id: event.id, status: UNPROCESSABLE, response: `not sent: ${message}` });
      }
    }
    return { events, failed, dropped, redacted };
  }

  /** Undefined: it is not sent. @throws {Error} the event is not JSON, or the transform throws */
  async #apply({ id, body }: StoredEvent, queue: string): Promise<Uint8Array | undefined> {
    const { transform } = this.#rules;
    if (transform === undefined) return body;
    const result = await transform(parseExactly(body, toNumber), { queue, id });
    if (result === undefined || result === null) return undefined;
    const text = JSON.stringify(result, bigintToJson);
    if (text === undefined) throw new Error(`transform returned a ${typeof result}, which is not JSON`);
    return Buffer.from(text);
  }

  /** Drops fields; an event that has none of them keeps its bytes. @throws {Error} the event is not JSON */
  #redact(body: Uint8Array | undefined): { body: Uint8Array | undefined; isRedacted: boolean } {
    if (body === undefined || this.#paths.length === 0) return { body, isRedacted: false };
    const event = parseExactly(body, toRaw);
    const found = this.#paths.filter((path) => dropField(event, path));
    if (found.length === 0) return { body, isRedacted: false };
    return { body: Buffer.from(JSON.stringify(event)), isRedacted: true };
  }

  /** The outcome of the batch, including the events that were not sent. If the others are sent again, so are these. */
  #settle(outcome: Outcome, { failed, dropped, redacted }: Transformed): Outcome {
    if (outcome.kind !== "accepted" && outcome.kind !== "partial") return outcome;
    const { counts } = this.#rules;
    counts.dropped += dropped;
    counts.redacted += redacted;
    if (failed.length === 0) return { ...outcome, dropped };
    const partial = outcome.kind === "partial" ? outcome : { ...outcome, kind: "partial" as const, ...NONE };
    return { ...partial, rejected: [...partial.rejected, ...failed], dropped };
  }
}

const NONE = { rejected: [], undelivered: [] } as const;

/** An HTTP status. */
const UNPROCESSABLE = 422;

function batchOf(batch: LeasedBatch, events: readonly StoredEvent[]): LeasedBatch {
  const comma = Buffer.from(",");
  const pieces = events.flatMap(({ body }, index) => (index === 0 ? [body] : [comma, body]));
  return { ...batch, count: events.length, joined: Buffer.concat(pieces), events: () => [...events] };
}

type Reviver = (
  this: unknown,
  key: string,
  value: unknown,
  context?: { readonly source?: string },
) => unknown;

const UTF_8 = new TextDecoder("utf-8", { fatal: true });

/** The error never quotes the event. @throws {Error} it is not JSON */
function parseExactly(body: Uint8Array, reviver: Reviver): unknown {
  try {
    return JSON.parse(UTF_8.decode(body), reviver);
  } catch {
    throw new Error("the event is not JSON, so it cannot be transformed");
  }
}

/** JSON's functions for the text of a number, which TypeScript's types do not have yet. */
const { rawJSON, isRawJSON } = JSON as unknown as {
  rawJSON(text: string): object;
  isRawJSON(value: unknown): boolean;
};

/** Keeps numbers that JavaScript writes differently, such as `1.0` and integers beyond 2^53. */
const toRaw: Reviver = (_key, value, context) =>
  typeof value === "number" && context?.source !== undefined && String(value) !== context.source
    ? rawJSON(context.source)
    : value;

const toNumber: Reviver = (_key, value, context) =>
  typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "")
    ? BigInt(context!.source!)
    : value;

function bigintToJson(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? rawJSON(String(value)) : value;
}

/** How TJSONProtocol wraps the value of a field. */
const THRIFT_TYPES = new Set(["tf", "i8", "i16", "i32", "i64", "dbl", "str", "rec", "map", "lst", "set"]);

/**
 * Drops a field. If a list is on its path, the field is dropped in each item. A name may contain dots. In Thrift's JSON a
 * path of numbers follows the field ids of structs. Returns whether a field was dropped.
 */
function dropField(value: unknown, path: readonly string[]): boolean {
  if (typeof value !== "object" || value === null || isRawJSON(value)) return false;
  if (Array.isArray(value)) return value.filter((item) => dropField(item, path)).length > 0;
  const object = value as Record<string, unknown>;
  let isFound = false;
  for (let length = 1; length <= path.length; length++) {
    const name = path.slice(0, length).join(".");
    if (!Object.hasOwn(object, name)) continue;
    if (length < path.length) isFound = dropField(object[name], path.slice(length)) || isFound;
    else isFound = delete object[name];
  }
  const [[type, wrapped] = ["", undefined], ...more] = Object.entries(object);
  const isWrapped = more.length === 0 && THRIFT_TYPES.has(type) && path.every((name) => /^\d+$/.test(name));
  return (isWrapped && dropField(wrapped, path)) || isFound;
}
