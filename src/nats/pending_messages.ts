/** The messages of one publish to JetStream, and the state of each: pending, stored, rejected or failed. */
import type { Msg } from "@nats-io/transport-node";

/** Messages to publish. Each is read by its index when it is sent, so none is held as an object. */
export interface Messages {
  readonly count: number;
  /** The subject of a message. */
  subject(index: number): string;
  /** Its `Nats-Msg-Id`: a stream drops a message whose id it stored within its duplicate window. Undefined: no id. */
  id(index: number): string | undefined;
  /** The data of a message. */
  body(index: number): Uint8Array;
}

/**
 * Why messages were not stored, through no fault of their own.
 *
 * - `unavailable`: it passes, by itself or once the servers are repaired.
 * - `misconfigured`: credentials, subject or stream are wrong. It does not pass by itself.
 */
export interface Failure {
  readonly kind: "unavailable" | "misconfigured";
  readonly reason: string;
  /** Whether no response came: then the messages may be stored or not. Default: false. */
  readonly isTransport?: boolean;
  /** Whether no message was sent, since no server could be reached. Default: false. */
  readonly isUnsent?: boolean;
}

/** A message that the server, or its stream, never accepts. */
export interface RejectedMessage {
  readonly index: number;
  readonly reason: string;
  /** Whether it is too large. */
  readonly isTooLarge: boolean;
}

/** The result of a publish. Messages in neither list are stored. */
export interface PublishResult {
  /** How many of the stored messages the stream had already. */
  readonly duplicates: number;
  readonly rejected: readonly RejectedMessage[];
  /** The indexes of messages that may be stored or not, ascending. Publish them again under the same ids. */
  readonly undelivered: readonly number[];
  /** Why messages are undelivered; undefined when none is. */
  readonly failure: Failure | undefined;
}

/** States of a message. SETTLED is stored or rejected; FAILED got a response but is not stored. */
const PENDING = 0;
const SETTLED = 1;
const FAILED = 2;

/** The messages of one publish. The state of each takes one byte, its size four. */
export class PendingMessages {
  /** Resolves when each message is settled, or when nothing more is awaited. */
  readonly done: Promise<PublishResult>;
  readonly messages: Messages;
  /** The messages in flight, and the bytes of their bodies. */
  inFlight = 0;
  inFlightBytes = 0;
  /** The first subject to which no stream responded; undefined: there is none. */
  subjectWithoutStream: string | undefined;
  readonly #states: Uint8Array;
  readonly #sizes: Uint32Array;
  readonly #resolve: (result: PublishResult) => void;
  readonly #rejected: RejectedMessage[] = [];
  #next = 0;
  #duplicates = 0;
  #failure: Failure | undefined;
  #isOver = false;

  constructor(messages: Messages) {
    this.messages = messages;
    this.#states = new Uint8Array(messages.count);
    this.#sizes = new Uint32Array(messages.count);
    const { promise, resolve } = Promise.withResolvers<PublishResult>();
    this.done = promise;
    this.#resolve = resolve;
  }

  /** The next message to send; undefined: there is none, or the first failure has stopped the rest. */
  next(): number | undefined {
    if (this.#next >= this.messages.count || this.#failure !== undefined) return undefined;
    return this.#next++;
  }

  /** Notes that a message was sent. */
  sent(index: number, sizeBytes: number): void {
    this.#sizes[index] = sizeBytes;
    this.inFlight++;
    this.inFlightBytes += sizeBytes;
  }

  /** Notes a response. Returns how many bytes are no longer in flight; undefined: no response was awaited. */
  responded(index: number, response: PublishResponse): number | undefined {
    if (this.#isOver || index >= this.#next || this.#states[index] !== PENDING) return undefined;
    const sizeBytes = this.#sizes[index]!;
    this.inFlight--;
    this.inFlightBytes -= sizeBytes;
    this.#settle(index, response);
    this.finishIfDone();
    return sizeBytes;
  }

  /** Notes a message that is rejected before it is sent. */
  reject({ index, ...rejection }: RejectedMessage): void {
    this.#settle(index, { kind: "rejected", ...rejection });
  }

  /** Stops sending. Responses to what is in flight are still awaited. Only the first failure is reported. */
  fail(failure: Failure): void {
    this.#failure ??= failure;
  }

  /** Resolves with what is known now. */
  end(failure: Failure): void {
    this.fail(failure);
    this.#finish();
  }

  /** Resolves if nothing more is to be sent or awaited. */
  finishIfDone(): void {
    const hasMore = this.#next < this.messages.count && this.#failure === undefined;
    if (this.inFlight === 0 && !hasMore) this.#finish();
  }

  /** The subject of a message that was sent and got no response; undefined: there is none. */
  get silentSubject(): string | undefined {
    const index = this.#states.indexOf(PENDING);
    return index === -1 || index >= this.#next ? undefined : this.messages.subject(index);
  }

  /** Whether a message to the subject is in flight. */
  isWaitingFor(subject: string): boolean {
    for (let index = 0; index < this.#next; index++)
      if (this.#states[index] === PENDING && this.messages.subject(index) === subject) return true;
    return false;
  }

  #settle(index: number, response: PublishResponse): void {
    this.#states[index] = SETTLED;
    switch (response.kind) {
      case "stored":
        if (response.isDuplicate) this.#duplicates++;
        return;
      case "rejected":
        this.#rejected.push({ index, reason: response.reason, isTooLarge: response.isTooLarge });
        return;
      case "no_stream":
        this.#states[index] = FAILED;
        this.subjectWithoutStream ??= this.messages.subject(index);
        this.fail({
          kind: "unavailable",
          reason: `no stream responds on subject ${this.subjectWithoutStream}`,
        });
        return;
      default:
        this.#states[index] = FAILED;
        this.fail(response);
    }
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const undelivered: number[] = [];
    for (const [index, state] of this.#states.entries()) if (state !== SETTLED) undelivered.push(index);
    // A message without a response may be stored, whatever ended the publish.
    const failure = this.#failure && { ...this.#failure, ...(this.inFlight > 0 && { isTransport: true }) };
    const rejected = this.#rejected.sort((a, b) => a.index - b.index);
    this.#resolve({
      duplicates: this.#duplicates,
      rejected,
      undelivered,
      failure: undelivered.length === 0 ? undefined : failure,
    });
  }
}

/**
 * - `stored`: the stream has the message, now or from before.
 * - `rejected`: the stream never accepts this message.
 * - `no_stream`: nobody listens on the subject: no stream, a stream without a leader, or no JetStream at all.
 * - `unavailable`, `misconfigured`: as in a {@link Failure}.
 */
export type PublishResponse =
  | { readonly kind: "stored"; readonly isDuplicate: boolean }
  | { readonly kind: "no_stream" }
  | { readonly kind: "rejected"; readonly reason: string; readonly isTooLarge: boolean }
  | Failure;

interface PubAck {
  readonly stream?: string;
  readonly duplicate?: boolean;
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string };
}

/** `err_code` for a message larger than the stream's `max_msg_size`. */
const MESSAGE_TOO_LARGE = 10_054;

/** `err_code` when `Nats-Expected-Stream` names another stream than the one with the subject. */
const OTHER_STREAM = 10_060;

/** `err_code`s when the account or the server has no room left. */
const NO_ROOM = new Set([10_002, 10_023, 10_028, 10_047]);

const STORED: PublishResponse = { kind: "stored", isDuplicate: false };
const DUPLICATE: PublishResponse = { kind: "stored", isDuplicate: true };
const NO_STREAM: PublishResponse = { kind: "no_stream" };

/** Reads the response to a message. */
export function readResponse(message: Msg): PublishResponse {
  const text = message.string();
  if (text === "" && message.headers?.code === 503) return NO_STREAM;
  const ack = parse(text);
  if (ack?.error !== undefined) return explain(ack.error);
  if (typeof ack?.stream === "string") return ack.duplicate === true ? DUPLICATE : STORED;
  return {
    kind: "misconfigured",
    reason: `the response is not from a JetStream stream: ${text.slice(0, 200)}`,
    isTransport: true, // a stream may have the message too
  };
}

function parse(text: string): PubAck | undefined {
  try {
    return JSON.parse(text) as PubAck;
  } catch {
    return undefined;
  }
}

function explain({
  code,
  err_code,
  description = "no reason given",
}: PubAck["error"] & object): PublishResponse {
  const reason = `the stream responded with ${code}: ${description} (${err_code ?? "no error code"})`;
  if (err_code === MESSAGE_TOO_LARGE)
    return { kind: "rejected", reason: `${reason}: see its max_msg_size`, isTooLarge: true };
  if (err_code === OTHER_STREAM)
    return {
      kind: "misconfigured",
      reason: `${reason}: the subject belongs to another stream than nats.stream`,
    };
  if (description.startsWith("maximum "))
    return {
      kind: "unavailable",
      reason: `${reason}: the stream is full: raise its limits, or let it drop old messages`,
    };
  if (err_code !== undefined && NO_ROOM.has(err_code))
    return {
      kind: "unavailable",
      reason: `${reason}: raise the limits of JetStream, of the account or server`,
    };
  return { kind: code >= 500 || code === 429 || code === 408 ? "unavailable" : "misconfigured", reason };
}
