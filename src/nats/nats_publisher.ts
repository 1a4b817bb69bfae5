/**
 * Publishing to JetStream.
 *
 * @module
 */
import { getLogger } from "@logtape/logtape";
import type { NatsConnection } from "@nats-io/transport-node";
import type { NatsConnectionConfig } from "../config/nats_config.ts";
import { EventStorageError } from "../errors.ts";
import { loadPackage } from "../load_package.ts";
import { connect, type NatsLibrary } from "./connect.ts";
import { failureOf } from "./failure.ts";
import { Publishing } from "./publishing.ts";
import { Session } from "./session.ts";
import { askStreams, diagnoseNoResponders } from "./stream_api.ts";
import { streamRisks } from "./stream_settings.ts";
import type { Failure, Messages, Published } from "./types.ts";

/** What a publisher is told besides where the servers are. */
export interface NatsPublisherOptions {
  /** What `nats server report connections` calls it. */
  readonly name: string;
  /** The one stream that may take the messages, `Nats-Expected-Stream`; undefined: the one that has the subject. */
  readonly expectedStream?: string | undefined;
  /** The subjects of all messages, with `*` for a token that differs: the streams that take them are asked for their settings. */
  readonly subjects: string;
  /** The largest message that there will be, in bytes. Default: 102,400, the largest event. */
  readonly maxMessageBytes?: number | undefined;
}

/** How often the streams are asked for their settings while there is something to publish, in milliseconds: people change them. */
const STREAM_CHECK_INTERVAL_MS = 60_000;

const logger = getLogger(["eventspool", "nats"]);

/**
 * Publishes messages, many on their way at once, over one connection. It connects when there is something to
 * publish, and again after the connection was lost.
 */
export class NatsPublisher {
  readonly #config: NatsConnectionConfig;
  readonly #options: NatsPublisherOptions;
  #session: Session | undefined;
  #connecting: Promise<Session> | undefined;
  #learnt: readonly string[] = [];
  #isClosed = false;
  #risks: readonly string[] = [];
  /** The session whose streams were asked last, and when, by `performance.now()`. */
  #checked: { readonly session: Session; readonly atMs: number } | undefined;

  constructor(config: NatsConnectionConfig, options: NatsPublisherOptions) {
    this.#config = config;
    this.#options = options;
  }

  /**
   * Publishes messages and resolves with what became of each, after the configured timeout at the latest, and a second to
   * ask why no stream answers. Never rejects.
   *
   * @param stop ends the waiting when it aborts
   */
  async publishAll(messages: Messages, stop: AbortSignal): Promise<Published> {
    const publishing = new Publishing(messages);
    const { timeoutMs } = this.#config;
    const end = (reason: string): void => publishing.end({ kind: "unavailable", reason, isTransport: true });
    const cut = (): void => end("the grace time of the stop is over");
    const late = (): void => end(`not every message was answered within ${timeoutMs} ms: see nats.timeout`);
    const timer = setTimeout(late, timeoutMs);
    stop.addEventListener("abort", cut, { once: true });
    if (stop.aborted) cut();
    try {
      void this.#start(publishing);
      const published = await publishing.done;
      const failure = await this.#explain(publishing, published.failure);
      return { ...published, failure };
    } finally {
      clearTimeout(timer);
      stop.removeEventListener("abort", cut);
    }
  }

  /** What the streams' settings can lose, as they were when they were asked last; none before the first connection. */
  get risks(): readonly string[] {
    return this.#risks;
  }

  /**
   * Connects if need be, and asks the streams for their settings now.
   *
   * @returns what can be lost by them
   * @throws {EventStorageError} `NATS_UNAVAILABLE`, `NATS_MISCONFIGURED`: the servers cannot be reached, or the user may not ask
   */
  async checkStreams(): Promise<readonly string[]> {
    const session = await this.#open().catch((error) => {
      const { servers } = this.#config;
      const { kind, reason } = failureOf(error, servers);
      throw new EventStorageError(`NATS_${kind.toUpperCase()}`, servers.join(", "), reason, { cause: error });
    });
    const { expectedStream, subjects, maxMessageBytes } = this.#options;
    const streams = await askStreams(session, { subjects, stream: expectedStream });
    const needs = { timeoutMs: this.#config.timeoutMs, maxMessageBytes };
    const risks = streams.flatMap((stream) => streamRisks(stream, needs));
    for (const risk of risks) if (!this.#risks.includes(risk)) logRisk(risk);
    this.#risks = risks;
    return risks;
  }

  /** Lets go of the connection. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const session = await this.#connecting?.catch(() => undefined);
    await (this.#session ?? session)?.close();
  }

  async #start(publishing: Publishing): Promise<void> {
    try {
      const session = await this.#open();
      session.publish(publishing);
      this.#checkWhenDue(session);
    } catch (error) {
      publishing.end({ ...failureOf(error, this.#config.servers), isUnsent: true });
    }
  }

  /** With each new connection, and now and then: beside the publishing, which never waits for it. */
  #checkWhenDue(session: Session): void {
    const nowMs = performance.now();
    const { session: last, atMs = 0 } = this.#checked ?? {};
    if (last === session && nowMs - atMs < STREAM_CHECK_INTERVAL_MS) return;
    this.#checked = { session, atMs: nowMs };
    this.checkStreams().catch((error: Error) =>
      logger.debug("The stream does not tell its settings: {reason}", { reason: error.message }),
    );
  }

  /** The connection that there is, or one that is made now, together with all who ask meanwhile. */
  async #open(): Promise<Session> {
    if (this.#session !== undefined && !this.#session.isOver) {
      this.#learnt = this.#session.learntServers;
      return this.#session;
    }
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return await this.#connecting;
  }

  async #connect(): Promise<Session> {
    if (this.#isClosed) throw new Error("it is closed");
    const nats = await loadPackage("@nats-io/transport-node", () => import("@nats-io/transport-node"));
    const connection = await this.#connectToAny(nats);
    const { inboxPrefix } = this.#config;
    const session = new Session(nats, connection, {
      inboxPrefix,
      expectedStream: this.#options.expectedStream,
    });
    this.#learnt = session.learntServers;
    this.#session = session;
    return session;
  }

  /** The servers that were learnt are tried when none of the configured ones can be had: their addresses may mean nothing here. */
  async #connectToAny(nats: NatsLibrary): Promise<NatsConnection> {
    const { name } = this.#options;
    try {
      return await connect(nats, this.#config, name);
    } catch (error) {
      if (this.#learnt.length === 0) throw error;
      return await connect(nats, { ...this.#config, servers: this.#learnt }, name).catch(() =>
        Promise.reject(error),
      );
    }
  }

  async #explain({ unheardSubject }: Publishing, failure: Failure | undefined): Promise<Failure | undefined> {
    const session = this.#session;
    if (unheardSubject === undefined || failure === undefined || session === undefined) return failure;
    return await diagnoseNoResponders(session, unheardSubject);
  }
}

function logRisk(risk: string): void {
  logger.warn("The stream's settings put events at risk: {risk}", { risk });
}
