import { randomUUID } from "node:crypto";
import type { PostgresConfig } from "../../config/postgres_config.ts";
import { EventTable, storageErrorOf } from "../../postgres/event_table.ts";
import { eachId } from "../../wire/event_ids.ts";
import type { AcceptedBatch, Sink, Stored } from "./sink.ts";

/**
 * Keeps events in a table of a Postgres database. Its key is the source, the queue's UUID and the event's id, so that an
 * event that is there is dropped. This keeps nothing itself: any number of collectors may share a table.
 */
export class PostgresSink implements Sink {
  readonly #config: PostgresConfig;
  readonly #table: EventTable;
  readonly #never = new AbortController().signal;

  /** Connects to nothing before the first batch. It takes what `loadCollectorConfig(file).sink` says for `sink = postgres`. */
  constructor(config: PostgresConfig) {
    this.#config = config;
    this.#table = new EventTable(config, "eventspool collector");
  }

  /**
   * Inserts a batch. Events that the server never takes are rejected by themselves. Those without ids get a UUID of their
   * own for the batch.
   *
   * @throws {EventStorageError} rejects with it when not all others are stored: `POSTGRES_UNAVAILABLE`,
   * `POSTGRES_MISCONFIGURED`
   */
  async store({ events, source, ids }: AcceptedBatch): Promise<Stored> {
    const isNamed = ids?.count === events.count;
    const { duplicates, rejected, failure } = await this.#table.insert(
      {
        queue: isNamed ? ids.queue : randomUUID(),
        source,
        ids: isNamed
          ? [...eachId(ids.ranges)]
          : Array.from({ length: events.count }, (_, index) => index + 1),
        putAtMs: [],
        texts: events.lines().toString().split("\n").slice(0, -1),
      },
      this.#never,
    );
    if (failure !== undefined) throw storageErrorOf(failure, this.#config);
    const unkept = rejected.map(({ index, error }) => ({ index, reason: error }));
    const stored = events.count - duplicates - rejected.length;
    return { stored, duplicates, ...(unkept.length > 0 && { rejected: unkept }) };
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
