/**
 * One connection, as long as it lasts, with the messages on their way by it.
 *
 * @module
 */
import type { Msg, MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import type { NatsLibrary } from "./connect.ts";
import { failureOf } from "./failure.ts";
import { type Publishing, readResponse } from "./publishing.ts";
import type { Failure } from "./types.ts";

/**
 * How many messages a publisher has on their way to JetStream at once, at most. Half of them are answered before more
 * are sent: 2,000 by halves take 21 us of CPU an event, 1,000 or 4,000 take 23 to 27.
 */
const NATS_MAX_IN_FLIGHT = 2_000;

/** How many bytes of messages a publisher has on their way to JetStream at once, at most, besides the first message. */
const NATS_MAX_IN_FLIGHT_BYTES = 8_388_608;

/** From how many messages on their way more are sent. */
const REFILL = NATS_MAX_IN_FLIGHT / 2;

/**
 * Sends the messages of several callers over one connection, and hands them the answers.
 *
 * The library's `jetstream().publish` makes a promise, a timer and a token a message: 28 us of CPU an event on Bun.
 * Here all answers come to one subscription, and the reply subject says whose they are: 10 us, 2.2 times as many a second.
 */
export class Session {
  readonly #connection: NatsConnection;
  readonly #headers: MsgHdrs;
  readonly #inbox: string;
  /** Those that have messages on their way, by the number in their reply subject. */
  readonly #callers = new Map<number, Publishing>();
  /** Those that have more to send, in the order in which they came. */
  readonly #waiting: number[] = [];
  #lastCaller = 0;
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

  /** The server it goes to, as `host:port`. */
  get server(): string {
    return this.#connection.getServer();
  }

  /** The other servers of the cluster, as this one knows them. */
  get learntServers(): readonly string[] {
    return this.#connection.info?.connect_urls ?? [];
  }

  /** Whether it is of no use any more. */
  get isOver(): boolean {
    return this.#failure !== undefined || this.#connection.isClosed();
  }

  /** Sends messages as soon as there is room for them. `caller.done` tells when that is over. */
  publish(caller: Publishing): void {
    if (this.#failure !== undefined) {
      caller.end(this.#failure);
      return;
    }
    const number = ++this.#lastCaller;
    this.#callers.set(number, caller);
    this.#waiting.push(number);
    void caller.done.then(() => this.#forget(number, caller));
    this.#pump();
  }

  /** Asks the server something that is not published. @throws the library's error */
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
      const caller = this.#callers.get(number);
      const index = caller?.take();
      if (caller !== undefined && index !== undefined) {
        this.#send(number, caller, index);
        continue;
      }
      this.#waiting.shift();
      caller?.finishIfDone();
    }
  }

  #send(number: number, caller: Publishing, index: number): void {
    const { messages } = caller;
    const body = messages.body(index);
    try {
      this.#connection.publish(messages.subject(index), body, {
        reply: `${this.#inbox}.${number}.${index}`,
        headers: this.#headersOf(messages.id(index)),
      });
      caller.sent(index, body.length);
      this.#inFlight++;
      this.#inFlightBytes += body.length;
    } catch (error) {
      this.#notSent(caller, index, { error: error as Error, sizeBytes: body.length });
    }
  }

  /** One object for all: the library has read it when `publish` returns. */
  #headersOf(id: string | undefined): MsgHdrs {
    if (id === undefined) this.#headers.delete("Nats-Msg-Id");
    else this.#headers.set("Nats-Msg-Id", id);
    return this.#headers;
  }

  #notSent(
    caller: Publishing,
    index: number,
    { error, sizeBytes }: { error: Error; sizeBytes: number },
  ): void {
    const limit = this.#connection.info?.max_payload ?? 0;
    if (error.message.includes("max_payload")) {
      const problem = `${sizeBytes} bytes and its headers are more than the server takes, ${limit}`;
      caller.reject({ index, reason: `${problem}: see its max_payload`, isTooLarge: true });
    } else if (error.name === "InvalidSubjectError")
      caller.reject({ index, reason: error.message, isTooLarge: false });
    else caller.fail(failureOf(error, [this.server]));
  }

  #received(error: Error | null, message: Msg): void {
    if (error !== null) return; // the status says it too
    const { subject } = message;
    const dot = subject.lastIndexOf(".");
    const caller = this.#callers.get(Number(subject.slice(this.#inbox.length + 1, dot)));
    const sizeBytes = caller?.answered(Number(subject.slice(dot + 1)), readResponse(message));
    if (sizeBytes === undefined) return; // late: its caller has ended
    this.#inFlight--;
    this.#inFlightBytes -= sizeBytes;
    // Many at a time: a write for each answer cost 10 us an event.
    if (this.#inFlight <= REFILL) this.#pump();
  }

  /** A caller has ended, be it that it waits no longer: what it has on its way is not counted any more. */
  #forget(number: number, caller: Publishing): void {
    this.#callers.delete(number);
    this.#inFlight -= caller.inFlight;
    this.#inFlightBytes -= caller.inFlightBytes;
    this.#pump();
  }

  /** Servers answer what may not be published or subscribed to with an error that belongs to no message. */
  async #watch(): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type !== "error" || status.error.name !== "PermissionViolationError") continue;
      const { operation, subject } = status.error as Error & { operation: string; subject: string };
      const reason = `the server does not let this user ${operation === "publish" ? "publish" : "subscribe"} to ${subject}`;
      if (operation === "publish") this.#denied(subject, reason);
      else this.#end({ kind: "misconfigured", reason: `${reason}: allow it, or see nats.inbox_prefix` });
    }
  }

  #denied(subject: string, reason: string): void {
    for (const caller of this.#callers.values())
      if (caller.isWaitingFor(subject))
        caller.end({ kind: "misconfigured", reason: `${reason}: allow it, or see nats.subject` });
  }

  #end(failure: Failure): void {
    this.#failure ??= failure;
    for (const caller of this.#callers.values()) caller.end(this.#failure);
    if (!this.#connection.isClosed()) void this.#connection.close();
  }
}
