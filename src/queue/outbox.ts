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
import { EVENTS_CEILING } from "../storage/events.ts";
import { noteLocation } from "../storage/identity.ts";
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
  /** The name of the outbox, in errors and in the publisher's section. Default: `main`. */
  readonly name?: string;
  /**
   * How many events the outbox may hold. The value is stored in the database and shared by all processes, until one
   * passes another value. Default: the value in the database; 10,000 in a new outbox.
   */
  readonly maxEvents?: number;
  /** The largest serialized event, in bytes. Default: 102,400, the limit of baseplate.py's collectors. */
  readonly maxEventBytes?: number;
  /**
   * Whether a put outside of a transaction is rejected. This finds puts after an `await` in an async callback of
   * bun:sqlite's `db.transaction`, which has committed by then. Default: false; such a put commits by itself.
   */
  readonly requireTransaction?: boolean;
  /** Whether the database may be in memory, where no publisher can read it: for tests. Default: false. */
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
 * A queue of events in the service's own database: an event and the rows that it describes commit together, or not at
 * all. It uses the service's open connection of better-sqlite3, bun:sqlite or node:sqlite, and changes none of its
 * pragmas. Create one per connection and keep it.
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
  /** The name of the outbox, in errors. */
  readonly name: string;
  /** The database file, as in the publisher's `queue.file`. */
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
   * Creates the tables of the outbox, `eventspool_...`, in the connection's main database, or upgrades older ones. Writes
   * nothing if they exist.
   *
   * @throws {ConfigurationError} an option is not valid, or `db` is not a connection of one of the three libraries
   * @throws {EventTransactionError} a transaction is open: its rollback would remove the tables
   * @throws {EventStorageError} `IN_MEMORY`, `NOT_WAL`, `NEWER_SCHEMA`, `TWO_LIBRARIES`; or the database cannot be
   * written, for example because it is read-only (`SQLITE_READONLY`)
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
   * Stores an event. If a transaction is open on the connection, the event is committed or rolled back with it; otherwise
   * it is committed at once. When this throws, the event is not stored, and the transaction is unchanged, unless SQLite
   * has rolled it back, which may happen on a full disk.
   *
   * @throws {EventTooLargeError} the serialized event is larger than `maxEventBytes`
   * @throws {EventQueueFullError} the outbox holds `maxEvents` events
   * @throws {EventInvalidError} the event does not match the outbox's schema
   * @throws {EventSerializationError} the event cannot be written in the queue's format
   * @throws {EventTransactionError} no transaction is open, and `requireTransaction` is set
   * @throws {EventStorageError} the database cannot be written; `SQLITE_BUSY`: it was locked for longer than the
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
   * Stores all events, in order, or none of them: in the open transaction, or else in one of its own.
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
   * Runs `work` in a transaction (`BEGIN IMMEDIATE`) and returns its result. If `work` throws, the transaction is rolled
   * back and the error is thrown. Within an open transaction it is a savepoint, which is rolled back by itself.
   *
   * @throws {EventTransactionError} `work` is async, or returns a promise: a transaction that is open during an `await`
   * would include what other code does on the connection. All is rolled back; an `async` function is not called.
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
      silence(result); // the error below says so
      throw asyncRejected("what it did before its first await is undone, and what it does after that is not");
    });
  }

  /** The number of events that wait or are being sent, including those of the open transaction. O(1). */
  depth(): number {
    this.#assertOpen();
    return this.#table.counters().depth;
  }

  /** Ends the outbox; later puts throw. Call it before the service closes its connection. A second call does nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#rejected.close();
    this.#release();
  }

  /** Closes the outbox, as `close` does, at the end of the scope of a `using`. */
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
        "outbox.transaction(() => { ... }), and not after an await in it.",
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

  /** Throws if it is to be tried again later, for example in a transaction whose rollback would lose the counts. */
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
      "is not a connection of better-sqlite3, bun:sqlite (Database) or node:sqlite (DatabaseSync of Node 22.16 or later).";
    throw new ConfigurationError(problem, { key: "db" });
  }
  if (!isOpen) return;
  throw new EventTransactionError(
    "An outbox cannot be created while a transaction is open, because a rollback would remove its tables: create it right after the connection, and keep it.",
  );
}

function asyncRejected(outcome: string): EventTransactionError {
  return new EventTransactionError(
    `The callback of outbox.transaction() is async or returns a promise, and a transaction cannot wait for it: ${outcome}. ` +
      "Await what you need before the transaction, and make the callback synchronous.",
  );
}

/** Whether a function is declared `async`, and so returns before its work is done. */
function isAsyncFunction(work: unknown): boolean {
  return Object.prototype.toString.call(work) === "[object AsyncFunction]";
}
