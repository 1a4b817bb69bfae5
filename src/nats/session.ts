/**
 * One connection until it is lost, and the messages in flight on it.
 *
 * @module
 */
import type { Msg, MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import { failureOf, type NatsLibrary } from "./connect.ts";
import { type Failure, type PendingMessages, readResponse } from "./pending_messages.ts";

/**
 * The most messages in flight to JetStream. Once half of them are acknowledged, more are sent: with 2,000 an event
 * takes 21 us of CPU, with 1,000 or 4,000 it takes 23 to 27.
 */
const NATS_MAX_IN_FLIGHT = 2_000;

/** The most bytes of messages in flight to JetStream. One message may exceed it. */
const NATS_MAX_IN_FLIGHT_BYTES = 8_388_608;

/** More messages are sent once at most this many are in flight. */
const REFILL = NATS_MAX_IN_FLIGHT / 2;

/**
 * Sends the messages of several publishes over one connection, and gives each its responses.
 *
 * The library's `jetstream().publish` makes a promise, a timer and a token for each message: 28 us of CPU an event on
 * Bun. Here all responses come to one subscription, and the reply subject names the message: 10 us of CPU an event, and
 * 2.2 times as many events a second.
 */
export class Session {
  readonly #connection: NatsConnection;
  readonly #headers: MsgHdrs;
  readonly #inbox: string;
  /** The publishes that wait for responses, by the number in their reply subject. */
  readonly #publishes = new Map<number, PendingMessages>();
  /** The publishes that have more to send, in the order in which they came. */
  readonly #waiting: number[] = [];
  #lastNumber = 0;
  #inFlight = 0;
  #inFlightBytes = 0;
  #failure: Failure | undefined;

  /** @param expectedStream the one stream that may take the messages; undefined: any */
  constructor(
    nats: NatsLibrary,
    connection: NatsConnection,
    options: { inboxPrefix: string; expectedStream: string | undefined },
  ) {
    this.#connection = connection;
    this.#headers = nats.headers();
    if (options.expectedStream !== undefined)
      this.#headers.set("Nats-Expected-Stream", options.expectedStream);
    this.#inbox = nats.createInbox(options.inboxPrefix);
    connection.subscribe(`${this.#inbox}.*.*`, {
      callback: (error, message) => this.#received(error, message),
    });
    void connection.closed().then((error) => this.#end(failureOf(error ?? undefined, [this.server])));
    void this.#watch();
  }

  /** The server of the connection, as `host:port`. */
  get server(): string {
    return this.#connection.getServer();
  }

  /** The servers of the cluster that this server announces. */
  get announcedServers(): readonly string[] {
    return this.#connection.info?.connect_urls ?? [];
  }

  /** Whether the connection is lost or closed. */
  get isOver(): boolean {
    return this.#failure !== undefined || this.#connection.isClosed();
  }

  /** Sends messages as soon as the limits allow. `pending.done` resolves with the result. */
  publish(pending: PendingMessages): void {
    if (this.#failure !== undefined) {
      pending.end(this.#failure);
      return;
    }
    const number = ++this.#lastNumber;
    this.#publishes.set(number, pending);
    this.#waiting.push(number);
    void pending.done.then(() => this.#forget(number, pending));
    this.#pump();
  }

  /** Sends a request and resolves with its response. @throws the library's error */
  async request(subject: string, body: string, timeoutMs: number): Promise<Msg> {
    return await this.#connection.request(subject, body, { timeout: timeoutMs });
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  #pump(): void {
    while (this.#inFlight < NATS_MAX_IN_FLIGHT && this.#inFlightBytes < NATS_MAX_IN_FLIGHT_BYTES) {
      const number = this.#waiting[0];
      if (number === undefined) return;
      const pending = this.#publishes.get(number);
      const index = pending?.next();
      if (pending !== undefined && index !== undefined) {
        this.#send(number, pending, index);
        continue;
      }
      this.#waiting.shift();
      pending?.finishIfDone();
    }
  }

  #send(number: number, pending: PendingMessages, index: number): void {
    const { messages } = pending;
    const body = messages.body(index);
    try {
      this.#connection.publish(messages.subject(index), body, {
        reply: `${this.#inbox}.${number}.${index}`,
        headers: this.#headersOf(messages.id(index)),
      });
      pending.sent(index, body.length);
      this.#inFlight++;
      this.#inFlightBytes += body.length;
    } catch (error) {
      this.#notSent(pending, index, { error: error as Error, sizeBytes: body.length });
    }
  }

  /** One object serves all messages: the library has read it when `publish` returns. */
  #headersOf(id: string | undefined): MsgHdrs {
    if (id === undefined) this.#headers.delete("Nats-Msg-Id");
    else this.#headers.set("Nats-Msg-Id", id);
    return this.#headers;
  }

  #notSent(
    pending: PendingMessages,
    index: number,
    { error, sizeBytes }: { error: Error; sizeBytes: number },
  ): void {
    const limit = this.#connection.info?.max_payload ?? 0;
    if (error.message.includes("max_payload")) {
      const problem = `${sizeBytes} bytes and its headers exceed the server's limit of ${limit}`;
      pending.reject({ index, reason: `${problem}: see its max_payload`, isTooLarge: true });
    } else if (error.name === "InvalidSubjectError")
      pending.reject({ index, reason: error.message, isTooLarge: false });
    else pending.fail(failureOf(error, [this.server]));
  }

  #received(error: Error | null, message: Msg): void {
    if (error !== null) return; // also reported by the connection's status
    const { subject } = message;
    const dot = subject.lastIndexOf(".");
    const pending = this.#publishes.get(Number(subject.slice(this.#inbox.length + 1, dot)));
    const sizeBytes = pending?.responded(Number(subject.slice(dot + 1)), readResponse(message));
    if (sizeBytes === undefined) return; // late: its publish has ended
    this.#inFlight--;
    this.#inFlightBytes -= sizeBytes;
    // Many at a time: one write for each response cost 10 us of CPU an event.
    if (this.#inFlight <= REFILL) this.#pump();
  }

  /** A publish has ended, perhaps without all its responses: its messages no longer count as in flight. */
  #forget(number: number, pending: PendingMessages): void {
    this.#publishes.delete(number);
    this.#inFlight -= pending.inFlight;
    this.#inFlightBytes -= pending.inFlightBytes;
    this.#pump();
  }

  /** When a publish or a subscription is not allowed, the server sends an error that belongs to no message. */
  async #watch(): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type !== "error" || status.error.name !== "PermissionViolationError") continue;
      const { operation, subject } = status.error as Error & { operation: string; subject: string };
      const reason = `the server does not allow this user to ${operation === "publish" ? "publish" : "subscribe"} to ${subject}`;
      if (operation === "publish") this.#denied(subject, reason);
      else this.#end({ kind: "misconfigured", reason: `${reason}: allow it, or see nats.inbox_prefix` });
    }
  }

  #denied(subject: string, reason: string): void {
    for (const pending of this.#publishes.values())
      if (pending.isWaitingFor(subject))
        pending.end({ kind: "misconfigured", reason: `${reason}: allow it, or see nats.subject` });
  }

  #end(failure: Failure): void {
    this.#failure ??= failure;
    for (const pending of this.#publishes.values()) pending.end(this.#failure);
    if (!this.#connection.isClosed()) void this.#connection.close();
  }
}
