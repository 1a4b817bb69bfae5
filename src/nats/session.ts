/**
 * Connecting to a NATS server, what the errors of a connection mean, and one connection until it is lost, with the
 * messages in flight on it.
 */
import { readFileSync } from "node:fs";
import type { Authenticator, ConnectionOptions, Msg, MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import type { TlsFiles } from "../config/credentials.ts";
import type { NatsConnectionConfig, NatsLogin } from "../config/nats_config.ts";
import { ConfigurationError } from "../errors.ts";
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
      pending.end({ ...this.#failure, isUnsent: true });
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

/** How long connecting to one NATS server may take, in milliseconds. Then the next server is tried. */
const NATS_CONNECT_TIMEOUT_MS = 3_000;

/** How often a connection is pinged, in milliseconds. It is closed after three pings without a response. */
const NATS_PING_INTERVAL_MS = 5_000;

/** The library. It is loaded for the first connection, so that a process without NATS does not pay for it. */
export type NatsLibrary = typeof import("@nats-io/transport-node");

/**
 * Connects to one of the servers, in random order. A lost connection is not restored: the next publish connects
 * again. The library's own reconnect hides why it fails, and holds messages back meanwhile.
 *
 * @param name the name of the connection in the server's reports
 * @throws the error of the last server tried; {@link failureOf} explains it
 */
export async function connect(
  nats: NatsLibrary,
  config: NatsConnectionConfig,
  name: string,
): Promise<NatsConnection> {
  const options: ConnectionOptions = {
    servers: [...config.servers],
    name,
    reconnect: false,
    timeout: NATS_CONNECT_TIMEOUT_MS,
    pingInterval: NATS_PING_INTERVAL_MS,
    inboxPrefix: config.inboxPrefix,
    noAsyncTraces: true,
    ...(config.tls && { tls: tlsOptions(config.tls) }),
    ...(config.login && { authenticator: authenticator(nats, config.login) }),
  };
  return await nats.connect(options);
}

function tlsOptions({ caFile, certFile, keyFile }: TlsFiles): NonNullable<ConnectionOptions["tls"]> {
  return { ...(caFile && { caFile }), ...(certFile && { certFile }), ...(keyFile && { keyFile }) };
}

function authenticator(nats: NatsLibrary, login: NatsLogin): Authenticator {
  if ("user" in login) return nats.usernamePasswordAuthenticator(login.user, text(login.password.reveal()));
  if ("token" in login) return nats.tokenAuthenticator(text(login.token.reveal()));
  if ("nkeySeed" in login) return nats.nkeyAuthenticator(login.nkeySeed.reveal());
  return nats.credsAuthenticator(readCredentials(login.credentialsFile));
}

/** Credentials expire, so each connection reads them again. */
function readCredentials(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { message } = cause as Error;
    throw new Error(`cannot read the credentials file ${path}: ${message}`, { cause });
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Names of the library's errors when the server rejects the login. */
const LOGIN_ERRORS = new Set(["AuthorizationError", "UserAuthenticationExpiredError", "NKeysError"]);

const TLS_PROBLEM = /certificate|self.signed|CERT_|'?tls'?|altname|doesn't exist/i;
const CREDENTIALS_PROBLEM = /credentials|nkey|invalid seed|invalid checksum|invalid prefix/i;

/** What an error of connecting, or of a connection, means for the messages, and what to do about it. */
export function failureOf(error: unknown, servers: readonly string[]): Failure {
  const { name, message, code } = toError(error);
  if (ConfigurationError.is(error)) return { kind: "misconfigured", reason: message };
  const where = `NATS at ${servers.join(", ")}`;
  if (LOGIN_ERRORS.has(name) || CREDENTIALS_PROBLEM.test(message))
    return {
      kind: "misconfigured",
      reason: `${where} rejected the login: ${message}: see nats.user, nats.token, nats.nkey_seed or nats.credentials_file`,
    };
  // Without the names of the servers: one may be nats-tls.
  const said = servers.reduce((rest, server) => rest.replaceAll(hostOf(server), ""), message);
  if (TLS_PROBLEM.test(`${code} ${said}`))
    return {
      kind: "misconfigured",
      reason: `${where}: TLS failed: ${message}: see tls:// in nats.servers, and nats.tls_ca_file`,
    };
  return {
    kind: "unavailable",
    reason: `${where} cannot be reached: ${message || code || "the connection was closed"}`,
    isTransport: true,
  };
}

/** The host of `HOST`, `HOST:PORT` or `tls://HOST:PORT`. */
function hostOf(server: string): string {
  return server.replace(/^\w+:\/\//, "").replace(/:\d+$/, "");
}

function toError(error: unknown): { name: string; message: string; code: string } {
  if (!(error instanceof Error)) return { name: "", message: String(error ?? ""), code: "" };
  const { name, message, code } = error as Error & { code?: unknown };
  return { name, message, code: typeof code === "string" ? code : "" };
}
