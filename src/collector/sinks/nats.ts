import type { NatsSinkConfig } from "../../config/nats_config.ts";
import { describeSink } from "../../config/sink_config.ts";
import { EventStorageError } from "../../errors.ts";
import { NatsPublisher } from "../../nats/nats_publisher.ts";
import type { Messages, PublishResult } from "../../nats/pending_messages.ts";
import { eachId } from "../../wire/event_ids.ts";
import { formatSource } from "../dedup/index.ts";
import type { AcceptedBatch, Sink, Stored } from "./sink.ts";

/**
 * Keeps events in a JetStream stream, a message each. With ids a message is called `SOURCE/QUEUE_UUID:ROW`, so that no
 * key can name the message of another, and is dropped by the stream if it has it within its duplicate window. This
 * keeps nothing itself: any number of collectors may share a stream.
 */
export class NatsSink implements Sink {
  readonly #config: NatsSinkConfig;
  readonly #publisher: NatsPublisher;
  readonly #url: string;
  /** How subjects are made, by the names of the keys. */
  readonly #subjects = new Map<string, (body: Uint8Array) => string>();
  readonly #storing = new Set<Promise<PublishResult>>();
  readonly #never = new AbortController().signal;

  /** Connects to nothing before the first batch. It takes what `loadCollectorConfig(file).sink` says for `sink = nats`. */
  constructor(config: NatsSinkConfig) {
    this.#config = config;
    this.#publisher = new NatsPublisher(config, {
      name: "eventspool collector",
      expectedStream: config.stream,
      subjects: config.subject.filter(),
    });
    this.#url = describeSink(config);
  }

  /**
   * Publishes a batch.
   *
   * @throws {EventStorageError} rejects with it when not all of it is in the stream: `NATS_UNAVAILABLE`,
   * `NATS_MISCONFIGURED`. An event beyond the servers' limits is rejected by itself.
   */
  async store(batch: AcceptedBatch): Promise<Stored> {
    const publishing = this.#publisher.publishAll(this.#messagesOf(batch), this.#never);
    this.#storing.add(publishing);
    const { duplicates, rejected, failure } = await publishing.finally(() =>
      this.#storing.delete(publishing),
    );
    if (failure !== undefined) throw this.#error(`NATS_${failure.kind.toUpperCase()}`, failure.reason);
    const stored = batch.events.count - duplicates - rejected.length;
    return { stored, duplicates, ...(rejected.length > 0 && { rejected }) };
  }

  get risks(): readonly string[] {
    return this.#publisher.risks;
  }

  async checkRisks(): Promise<readonly string[]> {
    return await this.#publisher.checkStreams();
  }

  async close(): Promise<void> {
    await Promise.all(this.#storing);
    await this.#publisher.close();
  }

  #messagesOf({ events, source, ids, keyName }: AcceptedBatch): Messages {
    const rows = ids?.count === events.count ? [...eachId(ids.ranges)] : undefined;
    const prefix = `${formatSource(source)}/${ids?.queue}`;
    const subjectOf = this.#subjectOf(keyName);
    return {
      count: events.count,
      subject: (index) => subjectOf(events.bytes(index)),
      id: (index) => (rows === undefined ? undefined : `${prefix}:${rows[index]}`),
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
    return new EventStorageError(code, this.#url, `The stream has not all events of the batch: ${reason}`);
  }
}
