/** Publishing to JetStream. */
import { getLogger } from "@logtape/logtape";
import type { NatsConnection } from "@nats-io/transport-node";
import type { NatsConnectionConfig } from "../config/nats_config.ts";
import { EventStorageError } from "../errors.ts";
import { loadPackage } from "../load_package.ts";
import { type Failure, type Messages, PendingMessages, type PublishResult } from "./pending_messages.ts";
import { connect, failureOf, type NatsLibrary, Session } from "./session.ts";
import { askStreams, diagnoseNoResponders, streamRisks } from "./streams.ts";

/** Options of a {@link NatsPublisher}. */
export interface NatsPublisherOptions {
  /** The name of the connection in `nats server report connections`. */
  readonly name: string;
  /** The one stream that may take the messages (`Nats-Expected-Stream`); undefined: any stream with the subject. */
  readonly expectedStream?: string | undefined;
  /** The subjects of all messages, with `*` for a token that differs. The settings of their streams are checked. */
  readonly subjects: string;
  /** The size of the largest message, in bytes. Default: 102,400, the largest event. */
  readonly maxMessageBytes?: number | undefined;
}

/** How often the settings of the streams are checked while messages are published, in milliseconds: people change them. */
const STREAM_CHECK_INTERVAL_MS = 60_000;

/** How soon they are checked again when the last check found no stream or failed, in milliseconds. */
const STREAM_RECHECK_INTERVAL_MS = 1_000;

const logger = getLogger(["eventspool", "nats"]);

/**
 * Publishes messages, many in flight at once, over one connection. It connects for the first publish, and again when
 * the connection was lost.
 */
export class NatsPublisher {
  readonly #config: NatsConnectionConfig;
  readonly #options: NatsPublisherOptions;
  #session: Session | undefined;
  #connecting: Promise<Session> | undefined;
  #announcedServers: readonly string[] = [];
  #isClosed = false;
  #risks: readonly string[] = [];
  /** The session whose streams were checked last, and when the next check is due, by `performance.now()`. */
  #checked: { readonly session: Session; readonly dueAtMs: number } | undefined;

  constructor(config: NatsConnectionConfig, options: NatsPublisherOptions) {
    this.#config = config;
    this.#options = options;
  }

  /**
   * Publishes messages and resolves with the result of each: after the configured timeout at the latest, and one more
   * second to find out why no stream responds. Never rejects.
   *
   * @param stop ends the wait when it aborts
   */
  async publishAll(messages: Messages, stop: AbortSignal): Promise<PublishResult> {
    const pending = new PendingMessages(messages);
    const { timeoutMs } = this.#config;
    const end = (reason: string): void => pending.end({ kind: "unavailable", reason, isTransport: true });
    const cut = (): void => end("the grace time of the stop has ended");
    const late = (): void => end(`some messages got no response within ${timeoutMs} ms: see nats.timeout`);
    const timer = setTimeout(late, timeoutMs);
    stop.addEventListener("abort", cut, { once: true });
    if (stop.aborted) cut();
    try {
      void this.#start(pending);
      const result = await pending.done;
      const failure = await this.#explain(pending, result.failure, stop);
      return { ...result, failure };
    } finally {
      clearTimeout(timer);
      stop.removeEventListener("abort", cut);
    }
  }

  /** The risks of the streams' settings at the last check; none before the first connection. */
  get risks(): readonly string[] {
    return this.#risks;
  }

  /**
   * Checks the settings of the streams now. Connects if there is no connection.
   *
   * @returns how they can lose events
   * @throws {EventStorageError} `NATS_UNAVAILABLE`, `NATS_MISCONFIGURED`: the servers cannot be reached, or the user may not ask
   */
  async checkStreams(): Promise<readonly string[]> {
    const session = await this.#open().catch((error) => {
      const { servers } = this.#config;
      const { kind, reason } = failureOf(error, servers);
      throw new EventStorageError(`NATS_${kind.toUpperCase()}`, servers.join(", "), reason, { cause: error });
    });
    const { expectedStream, subjects, maxMessageBytes } = this.#options;
    const { timeoutMs } = this.#config;
    const streams = await askStreams(session, { subjects, stream: expectedStream, timeoutMs });
    if (streams.length > 0) this.#checkNext(session, STREAM_CHECK_INTERVAL_MS);
    const needs = { timeoutMs, maxMessageBytes };
    const risks = streams.flatMap((stream) => streamRisks(stream, needs));
    for (const risk of risks) if (!this.#risks.includes(risk)) logRisk(risk);
    this.#risks = risks;
    return risks;
  }

  /** Closes the connection. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const session = await this.#connecting?.catch(() => undefined);
    await (this.#session ?? session)?.close();
  }

  async #start(pending: PendingMessages): Promise<void> {
    try {
      const session = await this.#open();
      session.publish(pending);
      this.#checkWhenDue(session);
    } catch (error) {
      pending.end({ ...failureOf(error, this.#config.servers), isUnsent: true });
    }
  }

  /** On each new connection, each minute, and soon after a check that told nothing. Publishing never waits for it. */
  #checkWhenDue(session: Session): void {
    const { session: last, dueAtMs = 0 } = this.#checked ?? {};
    if (last === session && performance.now() < dueAtMs) return;
    this.#checkNext(session, STREAM_RECHECK_INTERVAL_MS);
    this.checkStreams().catch((error: Error) => {
      const { name } = (error.cause ?? error) as Error;
      // A server logs each question that is not allowed: it is not asked again soon.
      if (name === "PermissionViolationError") this.#checkNext(session, STREAM_CHECK_INTERVAL_MS);
      logger.debug("Cannot check the settings of the stream: {reason}", { reason: error.message });
    });
  }

  #checkNext(session: Session, afterMs: number): void {
    this.#checked = { session, dueAtMs: performance.now() + afterMs };
  }

  /** The open connection, or a new one. Concurrent calls share one attempt. */
  async #open(): Promise<Session> {
    if (this.#session !== undefined && !this.#session.isOver) {
      this.#announcedServers = this.#session.announcedServers;
      return this.#session;
    }
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return await this.#connecting;
  }

  async #connect(): Promise<Session> {
    if (this.#isClosed) throw new Error("the publisher is closed");
    const nats = await loadPackage("@nats-io/transport-node", () => import("@nats-io/transport-node"));
    const connection = await this.#connectToAny(nats);
    const { inboxPrefix } = this.#config;
    const session = new Session(nats, connection, {
      inboxPrefix,
      expectedStream: this.#options.expectedStream,
    });
    this.#announcedServers = session.announcedServers;
    this.#session = session;
    return session;
  }

  /** Announced servers are tried last: their addresses may not be reachable from here. */
  async #connectToAny(nats: NatsLibrary): Promise<NatsConnection> {
    const { name } = this.#options;
    try {
      return await connect(nats, this.#config, name);
    } catch (error) {
      if (this.#announcedServers.length === 0) throw error;
      return await connect(nats, { ...this.#config, servers: this.#announcedServers }, name).catch(() =>
        Promise.reject(error),
      );
    }
  }

  /** A stream that is missing responds nothing, and neither does a server if another client listens on the subject. */
  async #explain(
    { subjectWithoutStream, silentSubject }: PendingMessages,
    failure: Failure | undefined,
    stop: AbortSignal,
  ): Promise<Failure | undefined> {
    const session = this.#session;
    if (failure?.kind !== "unavailable" || session === undefined || session.isOver || stop.aborted)
      return failure;
    const subject = subjectWithoutStream ?? silentSubject;
    if (subject === undefined) return failure;
    const diagnosis = await diagnoseNoResponders(session, subject);
    if (subjectWithoutStream === undefined && diagnosis.kind === "unavailable") return failure;
    return { ...failure, ...diagnosis };
  }
}

function logRisk(risk: string): void {
  logger.warn("The stream's settings put events at risk: {risk}", { risk });
}
