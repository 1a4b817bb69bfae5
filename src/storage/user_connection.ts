/** A connection that belongs to the service, of any of the three libraries. */
import { EventStorageError } from "../errors.ts";
import { isBusy } from "./lock_wait.ts";
import type { SqliteValue } from "./sqlite/sqlite.ts";
import { sqliteCodeOf, toStorageError } from "./storage_error.ts";

/** What better-sqlite3, bun:sqlite and node:sqlite have in common of a statement. */
export interface SqliteStatement {
  /** Runs it, and returns how many rows it changed. */
  run(...values: SqliteValue[]): { readonly changes: number | bigint };
  /** Runs it, and returns its first row, if there is one. */
  get(...values: SqliteValue[]): unknown;
}

/**
 * What better-sqlite3's `Database`, bun:sqlite's `Database` and node:sqlite's `DatabaseSync` have in common, as
 * far as an outbox needs it.
 */
export interface SqliteConnection {
  /** Compiles a statement. */
  prepare(sql: string): SqliteStatement;
  /** Runs statements that return nothing. */
  exec(sql: string): unknown;
  /** better-sqlite3 and bun:sqlite. */
  readonly inTransaction?: boolean;
  /** node:sqlite. */
  readonly isTransaction?: boolean;
}

/** Whether a transaction is open. Undefined: the library does not know. */
export function isInTransaction(db: SqliteConnection): boolean | undefined {
  return db.inTransaction ?? db.isTransaction;
}

/** The first row of a statement, by its columns' order: a connection may give objects, or arrays, or BigInts. */
export function firstRow(statement: SqliteStatement, ...values: SqliteValue[]): unknown[] {
  const row = Object.values(statement.get(...values) ?? {});
  return row.map((value) => (typeof value === "bigint" ? Number(value) : value));
}

/** The one value that a statement gives; undefined: it gives no row. */
export function firstValue(db: SqliteConnection, sql: string): unknown {
  return firstRow(db.prepare(sql))[0];
}

/** The absolute path of the connection's main database; empty for one that is in memory or temporary. */
function mainFileOf(db: SqliteConnection): string {
  return String(firstValue(db, "SELECT file FROM pragma_database_list WHERE name = 'main'") ?? "");
}

/** Other journals make readers and writers wait for each other: a publisher would stop the service, and be stopped. */
export function rejectOtherJournal(db: SqliteConnection, path: string): void {
  const mode = firstValue(db, "PRAGMA main.journal_mode");
  if (mode === "wal") return;
  const problem = `The database ${path} is not in WAL mode (journal_mode: ${mode}), so that a service and its publisher would stop each other: run PRAGMA journal_mode = WAL on it once, it stays so.`;
  throw new EventStorageError("NOT_WAL", path, problem);
}

/** The place of an outbox in memory. */
export const IN_MEMORY = ":memory:";

/**
 * The file of a connection in which an outbox may be: its main database.
 *
 * @throws {EventStorageError} `IN_MEMORY`: no publisher could read it; `NOT_WAL`
 */
export function outboxPlaceOf(db: SqliteConnection, { allowsMemory }: { allowsMemory: boolean }): string {
  const path = mainFileOf(db);
  if (path === "") {
    if (allowsMemory) return IN_MEMORY;
    const problem =
      "The connection's main database is in memory or temporary, where no publisher finds its events: open a file " +
      "as the main database, not an attached one. Tests may pass allowMemory: true.";
    throw new EventStorageError("IN_MEMORY", IN_MEMORY, problem);
  }
  rejectOtherJournal(db, path);
  return path;
}

/** How to begin, to keep what was done, and to undo it. */
const TRANSACTION = { begin: "BEGIN IMMEDIATE", keep: ["COMMIT"], undo: ["ROLLBACK"] } as const;
const SAVEPOINT = {
  begin: "SAVEPOINT eventspool",
  keep: ["RELEASE eventspool"],
  undo: ["ROLLBACK TO eventspool", "RELEASE eventspool"],
} as const;

/**
 * Transactions on the service's connection. Their statements are prepared once, and not run by exec, since errors
 * of exec have no number in Deno's node:sqlite.
 */
export class Transactions {
  readonly #db: SqliteConnection;
  readonly #path: string;
  readonly #statements = new Map<string, SqliteStatement>();
  /** Whether a write has waited for the whole busy_timeout, and none has succeeded since. */
  #isLockHeld = false;

  /** @param path the database's file, for errors */
  constructor(db: SqliteConnection, path: string) {
    this.#db = db;
    this.#path = path;
  }

  /**
   * Runs `work` in a transaction, or in a savepoint of the one that is open: whatever it throws undoes what it did,
   * and passes as it is.
   *
   * @param waits whether it may wait for the write lock: see {@link write}
   * @throws {EventStorageError} the transaction cannot begin, or cannot be committed
   */
  run<T>(work: () => T, { waits = true }: { waits?: boolean } = {}): T {
    const isNested = isInTransaction(this.#db);
    const { begin, keep, undo } = isNested ? SAVEPOINT : TRANSACTION;
    if (isNested) this.#do([begin]);
    else this.write(() => this.#statement(begin).run(), { waits });
    try {
      const result = work();
      this.#do(keep);
      return result;
    } catch (error) {
      if (isInTransaction(this.#db)) this.#do(undo); // SQLite itself undoes all on a full disk, say
      throw error;
    }
  }

  /**
   * Runs a statement that takes the write lock. It waits as the service's busy_timeout says; but while another process
   * keeps the lock, only the first one does: the next ones try once, until one succeeds.
   *
   * @param waits false: it never waits @throws {EventStorageError}
   */
  write<T>(statement: () => T, { waits = true }: { waits?: boolean } = {}): T {
    if (isInTransaction(this.#db)) return withStorageErrors(this.#db, this.#path, statement);
    const waitsNow = waits && !this.#isLockHeld;
    try {
      const run = waitsNow ? statement : () => withoutWaiting(this.#db, statement);
      const result = withStorageErrors(this.#db, this.#path, run);
      this.#isLockHeld = false;
      return result;
    } catch (error) {
      if (waitsNow) this.#isLockHeld = isBusy(error);
      throw error;
    }
  }

  #do(steps: readonly string[]): void {
    for (const sql of steps) withStorageErrors(this.#db, this.#path, () => this.#statement(sql).run());
  }

  #statement(sql: string): SqliteStatement {
    const statement = this.#statements.get(sql) ?? this.#db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

/** Runs a statement of ours on the connection. @throws {EventStorageError} SQLite rejects it */
export function withStorageErrors<T>(db: SqliteConnection, path: string, statement: () => T): T {
  try {
    return statement();
  } catch (error) {
    throw describeError(db, path, error);
  }
}

function describeError(db: SqliteConnection, path: string, error: unknown): unknown {
  const code = sqliteCodeOf(error);
  if (!code?.startsWith("SQLITE_BUSY")) return toStorageError(error, path);
  const problem =
    code === "SQLITE_BUSY_SNAPSHOT"
      ? "and a transaction that has read before cannot go on to write, since another process, its publisher say, wrote meanwhile: " +
        "begin with BEGIN IMMEDIATE, as outbox.transaction() does, and run it again."
      : `for longer than this connection waits (busy_timeout: ${busyTimeoutMs(db)} ms), by another process: see which one holds it ` +
        "(its publisher, a stopped process, an open shell), and set PRAGMA busy_timeout = 5000 on the connection if it has less.";
  return new EventStorageError(code, path, `The database ${path} was locked, ${problem}`, { cause: error });
}

/** Runs a statement with a busy_timeout of 0. When it returns, the service has its own again. */
function withoutWaiting<T>(db: SqliteConnection, statement: () => T): T {
  const timeoutMs = Number(busyTimeoutMs(db));
  if (timeoutMs === 0) return statement();
  firstValue(db, "PRAGMA busy_timeout = 0");
  try {
    return statement();
  } finally {
    firstValue(db, `PRAGMA busy_timeout = ${timeoutMs}`);
  }
}

function busyTimeoutMs(db: SqliteConnection): unknown {
  return firstValue(db, "PRAGMA busy_timeout");
}
