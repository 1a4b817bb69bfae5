/** Putting into an outbox: on the service's own connection, and in its transaction where one is open. */
import {
  ADD_REJECTED,
  BATCH_VERSION,
  type BatchVersion,
  COUNTERS,
  type Counters,
  INSERT,
  INSERT_TRACED,
  PUT,
  PUT_TRACED,
  type RejectionReason,
  SET_BATCH_VERSION,
  SET_MAX_EVENTS,
} from "./events.ts";
import { firstRow, type SqliteConnection, Transactions, withStorageErrors } from "./user_connection.ts";

/** Puts events into the outbox of a database and counts them. The tables must exist. */
export class OutboxTable {
  readonly #db: SqliteConnection;
  readonly #path: string;
  readonly #transactions: Transactions;
  readonly #put;
  readonly #putTraced;
  readonly #insert;
  readonly #insertTraced;
  readonly #counters;
  readonly #addRejected;

  /** @param path the database's file, for errors */
  constructor(db: SqliteConnection, path: string) {
    this.#db = db;
    this.#path = path;
    this.#transactions = new Transactions(db, path);
    this.#put = db.prepare(PUT);
    this.#putTraced = db.prepare(PUT_TRACED);
    this.#insert = db.prepare(INSERT);
    this.#insertTraced = db.prepare(INSERT_TRACED);
    this.#counters = db.prepare(COUNTERS);
    this.#addRejected = db.prepare(ADD_REJECTED);
  }

  /**
   * Stores one event, in the open transaction if there is one. False: the queue is full.
   *
   * @param trace the span that puts it @throws {EventStorageError}
   */
  put(body: Uint8Array, trace?: string): boolean {
    const run =
      trace === undefined
        ? () => this.#put.run(Date.now(), body)
        : () => this.#putTraced.run(Date.now(), body, trace);
    return Number(this.#transactions.write(run).changes) === 1;
  }

  /**
   * Stores all events, in order, or none. False: they do not all fit.
   *
   * @param trace the span that puts them @throws {EventStorageError}
   */
  putMany(bodies: readonly Uint8Array[], trace?: string): boolean {
    return this.atomically(() => {
      const { newestId, depth, maxEvents } = this.counters();
      if (depth + bodies.length > maxEvents) return false;
      const nowMs = Date.now();
      const insert: (id: number, body: Uint8Array) => unknown =
        trace === undefined
          ? (id, body) => this.#insert.run(id, nowMs, body)
          : (id, body) => this.#insertTraced.run(id, nowMs, body, trace);
      for (const [index, body] of bodies.entries()) this.#run(() => insert(newestId + 1 + index, body));
      return true;
    });
  }

  /** Runs `work` in a transaction, or in a savepoint of the one that is open. @throws {EventStorageError} */
  atomically<T>(work: () => T): T {
    return this.#transactions.run(work);
  }

  /** What the row cap is decided by; O(1). What the open transaction has put counts. */
  counters(): Counters {
    const row = this.#run(() => firstRow(this.#counters));
    const [newestId, depth, maxEvents] = row as [number, number, number];
    return { newestId, depth, maxEvents };
  }

  /** Which version of a batch the events are for; undefined: no serializer has said. @throws {EventStorageError} */
  batchVersion(): BatchVersion | undefined {
    const [version] = this.#run(() => firstRow(this.#db.prepare(BATCH_VERSION))) as [BatchVersion | null];
    return version ?? undefined;
  }

  /** @throws {EventStorageError} */
  setBatchVersion(version: BatchVersion): void {
    this.#run(() => this.#db.prepare(SET_BATCH_VERSION).run(version));
  }

  /** How many events there are. @throws {EventStorageError} */
  depth(): number {
    return this.counters().depth;
  }

  /** Changes the row cap for all processes. @throws {EventStorageError} */
  setMaxEvents(maxEvents: number): void {
    if (this.counters().maxEvents === maxEvents) return;
    this.#transactions.write(() => this.#db.prepare(SET_MAX_EVENTS).run(maxEvents));
  }

  /** Adds events that puts rejected to the counts in the file, unless its lock is held. @throws {EventStorageError} */
  addRejected(counts: ReadonlyMap<RejectionReason, number>): void {
    this.#transactions.run(
      () => {
        for (const [reason, count] of counts) this.#addRejected.run(reason, count);
      },
      { waits: false },
    );
  }

  #run<R>(statement: () => R): R {
    return withStorageErrors(this.#db, this.#path, statement);
  }
}
