import { randomUUID } from "node:crypto";
import type { PostgresConfig } from "../../config/postgres_config.ts";
import { EventTable, storageErrorOf } from "../../postgres/event_table.ts";
import { eachId } from "../../wire/event_ids.ts";
import type { AcceptedBatch, Sink, StoreResult } from "./sink.ts";

/**
 * Stores events in a table of a Postgres database. Its key is the queue's UUID, the event's id and the source, so an
 * event is stored once. The sink itself stores nothing, so any number of collectors may share a table.
 */
export class PostgresSink implements Sink {
  readonly #config: PostgresConfig;
  readonly #table: EventTable;
  readonly #never = new AbortController().signal;

  /** Takes `loadCollectorConfig(file).sink` of a file with `sink = postgres`. Connects with the first batch. */
  constructor(config: PostgresConfig) {
    this.#config = config;
    this.#table = new EventTable(config, "eventspool collector");
  }

  /**
   * Inserts a batch. Events that the server never accepts are in `rejected`. A batch without ids gets a UUID of its own.
   *
   * @throws {EventStorageError} (rejects) not all other events are stored: `POSTGRES_UNAVAILABLE` or
   * `POSTGRES_MISCONFIGURED`
   */
  async store({ events, source, ids }: AcceptedBatch): Promise<StoreResult> {
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
    const stored = events.count - duplicates - rejected.length;
    return { stored, duplicates, ...(rejected.length > 0 && { rejected }) };
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
