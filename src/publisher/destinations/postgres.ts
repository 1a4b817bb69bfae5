/** Postgres: events are rows of a table. */
import buffer from "node:buffer";
import { describePostgres, type PostgresConfig } from "../../config/postgres_config.ts";
import { lineOf } from "../../format.ts";
import { EventTable, type InsertResult } from "../../postgres/event_table.ts";
import type {
  Delivery,
  Destination,
  LeasedBatch,
  Outcome,
  RejectedEvent,
  StoredEvent,
} from "./destination.ts";
import { BAD_REQUEST } from "./http_response.ts";

/** Inserts events into a table whose key is the queue's UUID and the event's id, the same on every attempt. */
export class PostgresDestination implements Destination {
  readonly url: string;
  readonly timeoutMs: number;
  readonly emptyBatchBytes = 0;
  readonly #table: EventTable;

  constructor(config: PostgresConfig, queue: string) {
    this.url = describePostgres(config);
    this.timeoutMs = config.timeoutMs;
    this.#table = new EventTable(config, `eventspool publisher of ${queue}`);
  }

  async prepare({ queueUuid, joined, ...batch }: LeasedBatch): Promise<Delivery> {
    const events = batch.events();
    const texts = events.filter(({ body }) => buffer.isUtf8(body));
    const binary = events.filter(({ body }) => !buffer.isUtf8(body)); // as a text it would have other characters
    const rows = {
      queue: queueUuid,
      source: "",
      ids: texts.map(({ id }) => id),
      putAtMs: texts.map(({ putAtMs }) => putAtMs),
      texts: texts.map(({ body }) => Buffer.from(lineOf(body)).toString()),
    };
    return {
      sizeBytes: joined.length,
      send: async (stop) => outcomeOf(await this.#table.insert(rows, stop), texts, binary),
    };
  }

  get risks(): readonly string[] {
    return this.#table.risks;
  }

  async checkRisks(): Promise<readonly string[]> {
    return await this.#table.checkRisks();
  }

  async close(): Promise<void> {
    await this.#table.close();
  }
}

function outcomeOf(
  { rejected, duplicates, failure }: InsertResult,
  texts: readonly StoredEvent[],
  binary: readonly StoredEvent[],
): Outcome {
  if (failure !== undefined) return failure;
  if (rejected.length + binary.length === 0) return { kind: "accepted", duplicates };
  const all = rejected.map(({ index, error }) => rejectionOf(texts[index]!, error));
  all.push(...binary.map((event) => rejectionOf(event, "it is not UTF-8")));
  return { kind: "partial", rejected: all, undelivered: [], duplicates };
}

function rejectionOf({ id }: StoredEvent, response: string): RejectedEvent {
  return { id, status: BAD_REQUEST, response };
}
