/**
 * One call of `publishAll`: which messages are sent, answered, rejected.
 *
 * @module
 */
import type { Msg } from "@nats-io/transport-node";
import type { Failure, Messages, Published, RejectedMessage } from "./types.ts";

/** What a message is: not sent or not answered, answered and stored or rejected, or answered and not stored. */
const PENDING = 0;
const SETTLED = 1;
const FAILED = 2;

/** Keeps the state of each message in one byte and its size in four, whatever the answer takes. */
export class Publishing {
  /** Resolves when each message is settled, or nothing more is waited for. */
  readonly done: Promise<Published>;
  readonly messages: Messages;
  /** The messages on their way, and the bytes of their bodies. */
  inFlight = 0;
  inFlightBytes = 0;
  /** Whether it was ended by a stream that does not answer: then its caller asks why. */
  unheardSubject: string | undefined;
  readonly #states: Uint8Array;
  readonly #sizes: Uint32Array;
  readonly #resolve: (published: Published) => void;
  readonly #rejected: RejectedMessage[] = [];
  #next = 0;
  #duplicates = 0;
  #failure: Failure | undefined;
  #isOver = false;

  constructor(messages: Messages) {
    this.messages = messages;
    this.#states = new Uint8Array(messages.count);
    this.#sizes = new Uint32Array(messages.count);
    const { promise, resolve } = Promise.withResolvers<Published>();
    this.done = promise;
    this.#resolve = resolve;
  }

  /** The next message to send; undefined: there is none, or the first failure has stopped the rest. */
  take(): number | undefined {
    if (this.#next >= this.messages.count || this.#failure !== undefined) return undefined;
    return this.#next++;
  }

  /** Notes that a message was sent. */
  sent(index: number, sizeBytes: number): void {
    this.#sizes[index] = sizeBytes;
    this.inFlight++;
    this.inFlightBytes += sizeBytes;
  }

  /** Notes an answer, and returns how many bytes are no longer on their way; undefined: none was awaited. */
  answered(index: number, answer: PublishResponse): number | undefined {
    if (this.#isOver || index >= this.#next || this.#states[index] !== PENDING) return undefined;
    const sizeBytes = this.#sizes[index]!;
    this.inFlight--;
    this.inFlightBytes -= sizeBytes;
    this.#settle(index, answer);
    this.finishIfDone();
    return sizeBytes;
  }

  /** Notes a message that is rejected before it is sent. */
  reject({ index, ...rejection }: RejectedMessage): void {
    this.#settle(index, { kind: "rejected", ...rejection });
  }

  /** Stops sending; what is on its way is still waited for. The first failure is the one that is told. */
  fail(failure: Failure): void {
    this.#failure ??= failure;
  }

  /** Resolves with what is known by now. */
  end(failure: Failure): void {
    this.fail(failure);
    this.#finish();
  }

  /** Resolves if nothing more is to be sent or waited for. */
  finishIfDone(): void {
    const hasMore = this.#next < this.messages.count && this.#failure === undefined;
    if (this.inFlight === 0 && !hasMore) this.#finish();
  }

  /** Whether a message on its way goes to the subject. */
  isWaitingFor(subject: string): boolean {
    for (let index = 0; index < this.#next; index++)
      if (this.#states[index] === PENDING && this.messages.subject(index) === subject) return true;
    return false;
  }

  #settle(index: number, answer: PublishResponse): void {
    this.#states[index] = SETTLED;
    switch (answer.kind) {
      case "stored":
        if (answer.isDuplicate) this.#duplicates++;
        return;
      case "rejected":
        this.#rejected.push({ index, reason: answer.reason, isTooLarge: answer.isTooLarge });
        return;
      case "no_stream":
        this.#states[index] = FAILED;
        this.unheardSubject ??= this.messages.subject(index);
        this.fail({ kind: "unavailable", reason: `no stream answers to subject ${this.unheardSubject}` });
        return;
      default:
        this.#states[index] = FAILED;
        this.fail({ kind: answer.kind, reason: answer.reason });
    }
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const undelivered: number[] = [];
    for (const [index, state] of this.#states.entries()) if (state !== SETTLED) undelivered.push(index);
    const failure = undelivered.length === 0 ? undefined : this.#failure;
    const rejected = this.#rejected.sort((a, b) => a.index - b.index);
    this.#resolve({ duplicates: this.#duplicates, rejected, undelivered, failure });
  }
}

/**
 * - `stored`: the stream has it, from now on or from before.
 * - `rejected`: the stream never takes this message.
 * - `no_stream`: nobody listens to the subject: no stream, one without a leader, or no JetStream at all.
 * - `unavailable`, `misconfigured`: as of a {@link Failure}.
 */
export type PublishResponse =
  | { readonly kind: "stored"; readonly isDuplicate: boolean }
  | { readonly kind: "no_stream" }
  | { readonly kind: "rejected"; readonly reason: string; readonly isTooLarge: boolean }
  | { readonly kind: "unavailable" | "misconfigured"; readonly reason: string };

interface PubAck {
  readonly stream?: string;
  readonly duplicate?: boolean;
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string };
}

/** `err_code` of a message beyond the stream's `max_msg_size`. */
const MESSAGE_TOO_LARGE = 10_054;

/** `err_code` of `Nats-Expected-Stream` naming another stream than the one that took the subject. */
const OTHER_STREAM = 10_060;

const STORED: PublishResponse = { kind: "stored", isDuplicate: false };
const DUPLICATE: PublishResponse = { kind: "stored", isDuplicate: true };
const NO_STREAM: PublishResponse = { kind: "no_stream" };

/** Reads an answer. */
export function readResponse(message: Msg): PublishResponse {
  const text = message.string();
  if (text === "" && message.headers?.code === 503) return NO_STREAM;
  const ack = parse(text);
  if (ack?.error !== undefined) return explain(ack.error);
  if (typeof ack?.stream === "string") return ack.duplicate === true ? DUPLICATE : STORED;
  return { kind: "misconfigured", reason: `who answered is no JetStream stream: ${text.slice(0, 200)}` };
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
  const reason = `the stream answered ${code}: ${description} (${err_code ?? "no error code"})`;
  if (err_code === MESSAGE_TOO_LARGE)
    return { kind: "rejected", reason: `${reason}: see its max_msg_size`, isTooLarge: true };
  if (err_code === OTHER_STREAM)
    return { kind: "misconfigured", reason: `${reason}: another stream than nats.stream takes the subject` };
  if (description.startsWith("maximum "))
    return {
      kind: "unavailable",
      reason: `${reason}: the stream is full: raise its limits, or let it drop old messages`,
    };
  return { kind: code >= 500 || code === 429 || code === 408 ? "unavailable" : "misconfigured", reason };
}
