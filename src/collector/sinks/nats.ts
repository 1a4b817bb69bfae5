import type { NatsSinkConfig } from "../../config/nats_config.ts";
import { SubjectTemplate } from "../../config/subject_template.ts";
import { EventStorageError } from "../../errors.ts";
import type { NatsPublisher } from "../../nats/nats_publisher.ts";
import type { Messages } from "../../nats/pending_messages.ts";
import {
  checkOptions,
  OBJECT,
  type OptionKind,
  type OptionKinds,
  oneOf,
  STRING,
  wholeFrom,
} from "../../options.ts";
import { eachId } from "../../wire/event_ids.ts";
import { formatSource } from "./dedup_index.ts";
import type { AcceptedBatch, Sink, StoreResult } from "./sink.ts";

const SERVERS: OptionKind = {
  expected: "an array of servers such as 127.0.0.1:4222",
  matches: (value) =>
    Array.isArray(value) && value.length > 0 && value.every((server) => typeof server === "string"),
};

const SUBJECT: OptionKind = {
  expected: "a SubjectTemplate",
  matches: (value) => value instanceof SubjectTemplate,
};

const OPTION_KINDS: OptionKinds<NatsSinkConfig> = {
  kind: oneOf("nats"),
  servers: SERVERS,
  login: OBJECT,
  tls: OBJECT,
  inboxPrefix: STRING,
  timeoutMs: wholeFrom(1),
  stream: STRING,
  subject: SUBJECT,
};

/**
 * Stores each event as a message in a JetStream stream. If the event has an id, the message's `Nats-Msg-Id` is
 * `SOURCE/QUEUE_UUID:ID`, and the stream drops it as a duplicate within its duplicate window. The source in the id
 * keeps keys apart. The sink itself stores nothing, so any number of collectors may share a stream.
 */
export class NatsSink implements Sink {
  readonly #config: NatsSinkConfig;
  readonly #url: string;
  #publisher: Promise<NatsPublisher> | undefined;
  /** Makes the subject of an event, by the name of the key. */
  readonly #subjects = new Map<string, (body: Uint8Array) => string>();
  readonly #storing = new Set<Promise<StoreResult>>();
  #risks: () => readonly string[] = () => [];
  readonly #never = new AbortController().signal;

  /**
   * Takes `(await loadCollectorConfig(file)).sink` of a file with `sink = nats`. Connects with the first batch.
   *
   * @throws {ConfigurationError} an option is not valid
   */
  constructor(config: NatsSinkConfig) {
    this.#config = checkOptions(config, OPTION_KINDS, ["servers", "inboxPrefix", "timeoutMs", "subject"]);
    this.#url = `nats://${config.servers.join(",")}/${config.subject.text}`;
  }

  /**
   * Publishes a batch. Events larger than the server allows are in `rejected`.
   *
   * @throws {EventStorageError} (rejects) the stream does not have all other events: `NATS_UNAVAILABLE` or
   * `NATS_MISCONFIGURED`
   */
  store(batch: AcceptedBatch): Promise<StoreResult> {
    const storing = this.#store(batch).finally(() => this.#storing.delete(storing));
    this.#storing.add(storing);
    return storing;
  }

  get risks(): readonly string[] {
    return this.#risks();
  }

  async checkRisks(): Promise<readonly string[]> {
    return (await this.#open()).checkStreams();
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#storing);
    await (await this.#open()).close(); // also if no batch came: later batches are rejected
  }

  async #store(batch: AcceptedBatch): Promise<StoreResult> {
    const publisher = await this.#open();
    const published = await publisher.publishAll(this.#messagesOf(batch), this.#never);
    const { duplicates, rejected, failure } = published;
    if (failure !== undefined) throw this.#error(`NATS_${failure.kind.toUpperCase()}`, failure.reason);
    const stored = batch.events.count - duplicates - rejected.length;
    if (rejected.length === 0) return { stored, duplicates };
    return { stored, duplicates, rejected: rejected.map(({ index, reason }) => ({ index, error: reason })) };
  }

  /** Loads the code of NATS when it is needed: it takes 4 ms, which an app without this sink need not pay. */
  #open(): Promise<NatsPublisher> {
    this.#publisher ??= import("../../nats/nats_publisher.ts").then(({ NatsPublisher }) => {
      const publisher = new NatsPublisher(this.#config, {
        name: "eventspool collector",
        expectedStream: this.#config.stream,
        subjects: this.#config.subject.filter(),
      });
      this.#risks = () => publisher.risks;
      return publisher;
    });
    return this.#publisher;
  }

  #messagesOf({ events, source, ids, keyName }: AcceptedBatch): Messages {
    const eventIds = ids?.count === events.count ? [...eachId(ids.ranges)] : undefined;
    const prefix = `${formatSource(source)}/${ids?.queue}`;
    const subjectOf = this.#subjectOf(keyName);
    return {
      count: events.count,
      subject: (index) => subjectOf(events.bytes(index)),
      id: (index) => (eventIds === undefined ? undefined : `${prefix}:${eventIds[index]}`),
      body: (index) => events.bytes(index),
    };
  }

  #subjectOf(keyName: string): (body: Uint8Array) => string {
    let subjectOf = this.#subjects.get(keyName);
    if (subjectOf === undefined) {
      subjectOf = this.#config.subject.withName(keyName);
      this.#subjects.set(keyName, subjectOf);
    }
    return subjectOf;
  }

  #error(code: string, reason: string): EventStorageError {
    return new EventStorageError(code, this.#url, `The stream did not store the whole batch: ${reason}`);
  }
}
