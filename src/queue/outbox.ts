/**
 * The transactional outbox: events that commit together with the service's own rows, or not at all.
 *
 * It loads no SQLite library: it uses the connection that it is given.
 *
 * @example
 * ```ts
 * import { Database } from "bun:sqlite"; // or better-sqlite3, or DatabaseSync of node:sqlite
 * import { Outbox, serializeJsonEvent } from "eventspool/outbox";
 *
 * const outbox = new Outbox(db, serializeJsonEvent);
 * outbox.transaction(() => {
 *   insertOrder.run(42);
 *   outbox.put({ action: "buy", noun: "order", order: 42 });
 * });
 * ```
 *
 * @module
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import {
  ConfigurationError,
  EventError,
  EventQueueClosedError,
  EventQueueFullError,
  EventTransactionError,
} from "../errors.ts";
import {
  BOOLEAN,
  checkOption,
  checkOptions,
  FUNCTION,
  OBJECT,
  type OptionKinds,
  readOption,
  STRING,
  wholeFrom,
} from "../options.ts";
import { noteLocation } from "../storage/epochs.ts";
import { EVENTS_CEILING } from "../storage/events.ts";
import { OutboxTable } from "../storage/outbox_table.ts";
import { prepareSchema } from "../storage/schema.ts";
import { libraryOf, useLibrary } from "../storage/sqlite/driver.ts";
import {
  IN_MEMORY,
  isInTransaction,
  outboxPlaceOf,
  type SqliteConnection,
} from "../storage/user_connection.ts";
import { MAX_EVENT_BYTES } from "../wire/batch_format.ts";
import {
  checkSerializer,
  encodeAll,
  encodeEvent,
  eventsOf,
  isThenable,
  rememberBatchVersion,
  serializerBehind,
  silence,
} from "./encode.ts";
import type { EventSchemaOption, EventSerializer } from "./event_queue.ts";
import { type OnRejected, RejectedPuts } from "./rejected_puts.ts";
import { activeTrace, type PutTracing, TRACING } from "./trace_context.ts";

export type { EventIssue } from "../errors.ts";
export {
  ConfigurationError,
  EventError,
  EventInvalidError,
  EventQueueClosedError,
  EventQueueFullError,
  EventSerializationError,
  EventStorageError,
  EventTooLargeError,
  EventTransactionError,
} from "../errors.ts";
export { serializeJsonEvent } from "../serializers/json.ts";
export type { SqliteValue } from "../storage/sqlite/sqlite.ts";
export type { SqliteConnection, SqliteStatement } from "../storage/user_connection.ts";
export type { EventSchemaOption, EventSerializer, OnRejected, PutTracing };

/** Options of an {@link Outbox}. All are optional. */
export interface OutboxOptions {
  /** What errors call the outbox: the NAME of the publisher's section. Default `main`. */
  readonly name?: string;
  /**
   * How many events the outbox may hold. It is stored in the database, for everyone who uses it, and stays until
   * someone passes another. Default: what the database says, 10,000 in a new outbox.
   */
  readonly maxEvents?: number;
  /** The largest serialized event, in bytes. Default: 102,400, the limit of baseplate.py's collectors. */
  readonly maxEventBytes?: number;
  /**
   * Whether a put outside of a transaction is rejected. It finds the puts behind the first `await` of an async
   * callback that bun:sqlite's own `db.transaction` lets pass, having committed before. Default false: such a put
   * commits by itself.
   */
  readonly requireTransaction?: boolean;
  /** Whether the database may be in memory, where no publisher finds its events: for tests. Default false. */
  readonly allowMemory?: boolean;
  /**
   * The package `@opentelemetry/api`, as in `import * as openTelemetry from "@opentelemetry/api"`. An event that is put
   * while a recorded span is active is stored with that span's context, which is not part of the event's body. A publisher
   * with the same option links the span of its request to it. Default: none, at no cost for a put.
   */
  readonly openTelemetry?: PutTracing;
  /** Called for each event that is not stored, for a counter or a log of the service. Default: none. */
  readonly onRejected?: OnRejected;
}

/**
 * A queue of events in the service's own database: an event and the rows that it is about commit together, or not at
 * all. It works on the connection that the service has open, of better-sqlite3, bun:sqlite or node:sqlite, and
 * changes none of its pragmas. Make one for each connection and keep it.
 *
 * @example
 * ```ts
 * const db = new Database("shop.db");
 * db.exec("PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000");
 * const outbox = new Outbox(db, serializeJsonEvent);
 * outbox.transaction(() => {
 *   insertOrder.run(order.id, order.total);
 *   outbox.put({ action: "buy", noun: "order", order: order.id });
 * });
 * ```
 *
 * @typeParam T - what put takes
 * @typeParam Output - what the serializer takes: `T`, unless a schema transforms it
 */
export class Outbox<T, Output = T> implements Disposable {
  /** What errors call the outbox. */
  readonly name: string;
  /** The database's file: what the publisher's `queue.file` names. */
  readonly file: string;
  readonly #db: SqliteConnection;
  readonly #serialize: EventSerializer<T>;
  readonly #maxEventBytes: number;
  readonly #requiresTransaction: boolean;
  readonly #table: OutboxTable;
  readonly #rejected: RejectedPuts;
  readonly #tracing: PutTracing | undefined;
  readonly #release: () => void;
  #isClosed = false;

  /**
   * Makes the tables of the outbox, `eventspool_...`, in the connection's main database, or upgrades older ones.
   * Where they are there, nothing is written.
   *
   * @throws {ConfigurationError} an option is not valid, or `db` is not a connection of one of the three libraries
   * @throws {EventTransactionError} a transaction is open: a rollback would take the tables
   * @throws {EventStorageError} `IN_MEMORY`, `NOT_WAL`, `NEWER_SCHEMA`, `TWO_LIBRARIES`; the database cannot be
   * written, such as one that is read-only (`SQLITE_READONLY`)
   */
  constructor(
    db: SqliteConnection,
    serializer: EventSerializer<Output>,
    options: OutboxOptions & EventSchemaOption<T, Output>,
  );
  /** The same without a schema: only the serializer checks events. */
  constructor(
    db: SqliteConnection,
    serializer: EventSerializer<T>,
    options?: OutboxOptions & { readonly schema?: undefined },
  );
  constructor(
    db: SqliteConnection,
    serializer: EventSerializer<T> | EventSerializer<Output>,
    options: OutboxOptions & { readonly schema?: StandardSchemaV1<T, Output> | undefined } = {},
  ) {
    checkSerializer(serializer);
    const checked = checkOptions(options, OPTION_KINDS);
    const { name = "main", maxEvents, maxEventBytes = MAX_EVENT_BYTES } = checked;
    const { requireTransaction = false, allowMemory = false, schema } = checked;
    checkConnection(db);

    this.name = name;
    this.file = outboxPlaceOf(db, { allowsMemory: allowMemory });
    this.#db = db;
    const serialize = serializerBehind(schema, serializer);
    this.#maxEventBytes = maxEventBytes;
    this.#requiresTransaction = requireTransaction;
    this.#tracing = checked.openTelemetry;
    this.#release = this.file === IN_MEMORY ? () => {} : useLibrary(this.file, libraryOf(db));
    try {
      this.#table = openTable(db, this.file, maxEvents);
      this.#serialize = rememberBatchVersion(this.#table, serializer, serialize, name);
    } catch (error) {
      this.#release();
      throw error;
    }
    this.#rejected = new RejectedPuts((counts) => this.#addRejected(counts), checked.onRejected);
  }

  /**
   * Stores an event: in the transaction that is open on the connection, whose commit or rollback decides on it, or
   * else committed by itself. When it throws, the event is not stored, and the transaction is as it was before, unless
   * SQLite itself has rolled it back (it may on a full disk).
   *
   * @throws {EventTooLargeError} the serialized event is larger than `maxEventBytes`
   * @throws {EventQueueFullError} the outbox holds `maxEvents` events
   * @throws {EventInvalidError} the event does not match the outbox's schema
   * @throws {EventSerializationError} the event cannot be written in the queue's format
   * @throws {EventTransactionError} no transaction is open, and `requireTransaction` is set
   * @throws {EventStorageError} the database cannot be written; `SQLITE_BUSY`: it stayed locked for longer than the
   * connection's `busy_timeout`
   * @throws {EventQueueClosedError} the outbox is closed
   */
  put(event: T): void {
    try {
      this.#assertOpen();
      this.#checkTransaction();
      if (!this.#table.put(this.#encode(event), this.#activeTrace())) throw this.#full();
    } catch (error) {
      this.#rejected.count(error);
      throw error;
    }
  }

  /**
   * Stores all of the events, in order, or none of them: in the transaction that is open, or else in one of its own.
   *
   * @throws the same as {@link put}; then none of the events is stored. An EventInvalidError has the `index` of the
   * invalid event.
   */
  putMany(events: Iterable<T>): void {
    let all: readonly T[] = [];
    try {
      this.#assertOpen();
      all = eventsOf(events);
      this.#checkTransaction();
      const bodies = encodeAll(all, (event) => this.#encode(event));
      if (bodies.length > 0 && !this.#table.putMany(bodies, this.#activeTrace())) throw this.#full();
    } catch (error) {
      this.#rejected.count(error, Math.max(1, all.length));
      throw error;
    }
  }

  /**
   * Runs `work` in a transaction (`BEGIN IMMEDIATE`) and returns what it returns; whatever it throws undoes all of it
   * and passes on. Within a transaction that is open it is a part of that one, and undone by itself (a savepoint).
   *
   * @throws {EventTransactionError} `work` is async, or returns a promise: a transaction that stays open over an
   * `await` would take in what others do on the connection meanwhile. All is undone; an `async` function is not
   * even begun.
   * @throws {EventStorageError} the transaction cannot begin or be committed
   * @throws {EventQueueClosedError} the outbox is closed
   */
  transaction<R>(work: () => R): R {
    this.#assertOpen();
    checkOption("work", work, FUNCTION);
    if (isAsyncFunction(work)) throw asyncRejected("nothing was run");
    return this.#table.atomically(() => {
      const result = work();
      if (!isThenable(result)) return result;
      silence(result); // the error below tells
      throw asyncRejected("what it did before its first await is undone, and what it does after that is not");
    });
  }

  /** How many events wait for the collector or are on their way there; O(1). What the open transaction has put counts. */
  depth(): number {
    this.#assertOpen();
    return this.#table.counters().depth;
  }

  /** Takes no more events. The connection stays open: it is the service's. Call it before that is closed; twice is fine. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#rejected.close();
    this.#release();
  }

  /** Takes no more events, as after `close`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new EventQueueClosedError(this.name);
  }

  #checkTransaction(): void {
    if (!this.#requiresTransaction || isInTransaction(this.#db)) return;
    throw new EventTransactionError(
      `Outbox ${JSON.stringify(this.name)} requires a transaction for each put, and none is open: put within ` +
        "outbox.transaction(() => { ... }), and not behind an await in it.",
    );
  }

  #encode(event: T): Uint8Array {
    return encodeEvent(this.#serialize, event, { maxEventBytes: this.#maxEventBytes, queue: this.name });
  }

  #activeTrace(): string | undefined {
    return this.#tracing && activeTrace(this.#tracing);
  }

  #full(): EventError {
    const { depth, maxEvents } = this.#table.counters();
    return new EventQueueFullError(depth, maxEvents, this.name);
  }

  /** Throws where it is to be tried again later: such as in a transaction whose rollback would take the counts. */
  #addRejected(counts: Parameters<OutboxTable["addRejected"]>[0]): void {
    try {
      if (isInTransaction(this.#db)) throw new EventTransactionError("A transaction is open.");
      this.#table.addRejected(counts);
    } catch (error) {
      if (error instanceof EventError) throw error; // else the service has closed its connection
    }
  }
}

const OPTION_KINDS: OptionKinds<OutboxOptions & { readonly schema?: unknown }> = {
  name: STRING,
  maxEvents: wholeFrom(1, EVENTS_CEILING),
  maxEventBytes: wholeFrom(1),
  requireTransaction: BOOLEAN,
  allowMemory: BOOLEAN,
  openTelemetry: TRACING,
  onRejected: FUNCTION,
  schema: OBJECT,
};

function openTable(db: SqliteConnection, file: string, maxEvents: number | undefined): OutboxTable {
  prepareSchema(db, file);
  if (file !== IN_MEMORY) noteLocation(db, file);
  const table = new OutboxTable(db, file);
  if (maxEvents !== undefined) table.setMaxEvents(maxEvents);
  return table;
}

function checkConnection(db: SqliteConnection): void {
  const isOpen = readOption("db", () => {
    const isConnection = typeof db?.prepare === "function" && typeof db.exec === "function";
    return isConnection ? isInTransaction(db) : undefined;
  });
  if (isOpen === undefined) {
    const problem =
      "is no connection of better-sqlite3, bun:sqlite (Database) or node:sqlite (DatabaseSync of Node 22.16 or later).";
    throw new ConfigurationError(problem, { key: "db" });
  }
  if (!isOpen) return;
  throw new EventTransactionError(
    "An outbox cannot be made while a transaction is open, since a rollback would take its tables: make it right after the connection, and keep it.",
  );
}

function asyncRejected(outcome: string): EventTransactionError {
  return new EventTransactionError(
    `The callback of outbox.transaction() is async or returns a promise, and a transaction cannot wait for it: ${outcome}. ` +
      "Await what you need before the transaction, and let the callback be synchronous.",
  );
}

/** Whether a function is declared `async`, and so returns before its work is done. */
function isAsyncFunction(work: unknown): boolean {
  return Object.prototype.toString.call(work) === "[object AsyncFunction]";
}
