/** JetStream: events are published to a stream. */
import type { NatsDestinationConfig } from "../../config/nats_config.ts";
import { NatsPublisher } from "../../nats/nats_publisher.ts";
import type { Messages, PublishResult } from "../../nats/pending_messages.ts";
import { BATCH_FORMATS, frame, MAX_BATCH_BYTES } from "../../wire/batch_format.ts";
import { formatEventIds } from "../../wire/event_ids.ts";
import type {
  Delivery,
  Destination,
  LeasedBatch,
  Outcome,
  RejectedEvent,
  StoredEvent,
} from "./destination.ts";
import { BAD_REQUEST, TOO_LARGE } from "./http_response.ts";

/**
 * Takes events to JetStream, a message each: its id is `QUEUE_UUID:ROW`, the same on every attempt, so that the stream
 * drops what it has. A message per batch is cheaper, and is dropped only if the batch is sent again unchanged.
 */
export class NatsDestination implements Destination {
  readonly url: string;
  readonly timeoutMs: number;
  readonly emptyBatchBytes: number;
  readonly #config: NatsDestinationConfig;
  readonly #publisher: NatsPublisher;
  readonly #subjectOf: (body: Uint8Array) => string;

  constructor(config: NatsDestinationConfig, queue: string) {
    this.url = `nats://${config.servers.join(",")}/${config.subject.text}`;
    this.timeoutMs = config.timeoutMs;
    this.emptyBatchBytes = config.messages === "batch" ? BATCH_FORMATS[config.batchVersion].baseBytes : 0;
    this.#config = config;
    this.#publisher = new NatsPublisher(config, {
      name: `eventspool publisher of ${queue}`,
      expectedStream: config.stream,
      subjects: config.subject.filter(queue),
      maxMessageBytes: config.messages === "batch" ? MAX_BATCH_BYTES : undefined,
    });
    this.#subjectOf = config.subject.withName(queue);
  }

  async prepare(batch: LeasedBatch): Promise<Delivery> {
    return this.#config.messages === "batch" ? this.#prepareWhole(batch) : this.#prepareEach(batch);
  }

  get risks(): readonly string[] {
    return this.#publisher.risks;
  }

  async checkRisks(): Promise<readonly string[]> {
    return await this.#publisher.checkStreams();
  }

  async close(): Promise<void> {
    await this.#publisher.close();
  }

  #prepareEach(batch: LeasedBatch): Delivery {
    const { queueUuid } = batch; // not the batch: its bytes would live as long as the delivery
    const events = batch.events();
    const messages: Messages = {
      count: events.length,
      subject: (index) => this.#subjectOf(events[index]!.body),
      id: (index) => `${queueUuid}:${events[index]!.id}`,
      body: (index) => events[index]!.body,
    };
    return {
      sizeBytes: batch.joined.length,
      send: async (stop) => outcomeOfEach(await this.#publisher.publishAll(messages, stop), events),
    };
  }

  #prepareWhole(batch: LeasedBatch): Delivery {
    const body = frame(BATCH_FORMATS[this.#config.batchVersion], batch);
    const id = formatEventIds(batch.queueUuid, [batch]);
    const messages: Messages = {
      count: 1,
      subject: () => this.#subjectOf(body),
      id: () => id,
      body: () => body,
    };
    return {
      sizeBytes: body.length,
      send: async (stop) => outcomeOfWhole(await this.#publisher.publishAll(messages, stop)),
    };
  }
}

function outcomeOfEach(
  { rejected, undelivered, failure, duplicates }: PublishResult,
  events: readonly StoredEvent[],
): Outcome {
  if (rejected.length === 0 && undelivered.length === 0) return { kind: "accepted", duplicates };
  if (failure !== undefined && undelivered.length === events.length) return failure;
  return {
    kind: "partial",
    rejected: rejected.map(({ index, reason, isTooLarge }): RejectedEvent => {
      return { id: events[index]!.id, status: statusOf(isTooLarge), response: reason };
    }),
    undelivered: undelivered.map((index) => events[index]!.id),
    duplicates,
    ...(failure && { failure }),
  };
}

function outcomeOfWhole({ rejected: [rejected], failure, duplicates }: PublishResult): Outcome {
  if (rejected === undefined) return failure ?? { kind: "accepted", duplicates };
  return { kind: "rejected", status: statusOf(rejected.isTooLarge), response: rejected.reason };
}

function statusOf(isTooLarge: boolean): number {
  return isTooLarge ? TOO_LARGE : BAD_REQUEST;
}
