/**
 * Publishing to JetStream.
 *
 * @module
 */
import type { NatsConnection } from "@nats-io/transport-node";
import type { NatsConnectionConfig } from "../config/nats_config.ts";
import { dial, type NatsLibrary } from "./connect.ts";
import { whyUnheard } from "./diagnose_no_responders.ts";
import { failureOf } from "./failure.ts";
import { Publishing } from "./publishing.ts";
import { Session } from "./session.ts";
import type { Failure, Messages, Published } from "./types.ts";

/** What a publisher is told besides where the servers are. */
export interface NatsPublisherOptions {
  /** What `nats server report connections` calls it. */
  readonly name: string;
  /** The one stream that may take the messages, `Nats-Expected-Stream`; undefined: the one that has the subject. */
  readonly expectedStream?: string | undefined;
}

/**
 * Publishes messages, many on their way at once, over one connection. It connects when there is something to
 * publish, and again after the connection was lost.
 */
export class NatsPublisher {
  readonly #config: NatsConnectionConfig;
  readonly #options: NatsPublisherOptions;
  #session: Session | undefined;
  #dialing: Promise<Session> | undefined;
  #learnt: readonly string[] = [];
  #isClosed = false;

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

  /** Lets go of the connection. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const session = await this.#dialing?.catch(() => undefined);
    await (this.#session ?? session)?.close();
  }

  async #start(publishing: Publishing): Promise<void> {
    try {
      (await this.#open()).publish(publishing);
    } catch (error) {
      publishing.end({ ...failureOf(error, this.#config.servers), isUnsent: true });
    }
  }

  /** The connection that there is, or one that is made now, together with all who ask meanwhile. */
  async #open(): Promise<Session> {
    if (this.#session !== undefined && !this.#session.isOver) {
      this.#learnt = this.#session.learntServers;
      return this.#session;
    }
    this.#dialing ??= this.#dial().finally(() => {
      this.#dialing = undefined;
    });
    return await this.#dialing;
  }

  async #dial(): Promise<Session> {
    if (this.#isClosed) throw new Error("it is closed");
    const nats = await import("@nats-io/transport-node");
    const connection = await this.#connect(nats);
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
  async #connect(nats: NatsLibrary): Promise<NatsConnection> {
    const { name } = this.#options;
    try {
      return await dial(nats, this.#config, name);
    } catch (error) {
      if (this.#learnt.length === 0) throw error;
      return await dial(nats, { ...this.#config, servers: this.#learnt }, name).catch(() =>
        Promise.reject(error),
      );
    }
  }

  async #explain({ unheardSubject }: Publishing, failure: Failure | undefined): Promise<Failure | undefined> {
    const session = this.#session;
    if (unheardSubject === undefined || failure === undefined || session === undefined) return failure;
    return await whyUnheard(session, unheardSubject);
  }
}
