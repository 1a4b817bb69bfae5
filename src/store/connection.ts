/**
 * A connection that belongs to the service, of any of the three libraries.
 *
 * @module
 */

import { EventStorageError } from "../errors.ts";
import { sqliteCodeOf, toStorageError } from "./storage_error.ts";

/** What a value of a statement may be. */
type SqliteValue = string | number | Uint8Array;

/** What better-sqlite3, bun:sqlite and node:sqlite have in common of a statement. */
export interface SqliteStatement {
  run(...values: SqliteValue[]): { readonly changes: number | bigint };
  get(...values: SqliteValue[]): unknown;
}

/**
 * What better-sqlite3's `Database`, bun:sqlite's `Database` and node:sqlite's `DatabaseSync` have in common, as
 * far as an outbox needs it.
 */
export interface SqliteConnection {
  prepare(sql: string): SqliteStatement;
  exec(sql: string): unknown;
  /** better-sqlite3 and bun:sqlite. */
  readonly inTransaction?: boolean;
  /** node:sqlite. */
  readonly isTransaction?: boolean;
}

/** Whether a transaction is open. Undefined: the library cannot tell. */
export function isInTransaction(db: SqliteConnection): boolean | undefined {
  return db.inTransaction ?? db.isTransaction;
}

/** The first row of a statement, by its columns' order: a connection may give objects, or arrays, or BigInts. */
export function firstRow(statement: SqliteStatement): unknown[] {
  const row = Object.values(statement.get() ?? {});
  return row.map((value) => (typeof value === "bigint" ? Number(value) : value));
}

/** The one value that a statement gives; undefined: it gives no row. */
export function firstValue(db: SqliteConnection, sql: string): unknown {
  return firstRow(db.prepare(sql))[0];
}

/** The absolute path of the connection's main database; empty for one that is in memory or temporary. */
export function mainFileOf(db: SqliteConnection): string {
  return String(firstValue(db, "SELECT file FROM pragma_database_list WHERE name = 'main'") ?? "");
}

/** Ways to begin, to keep and to undo. */
const TRANSACTION = ["BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"] as const;
const SAVEPOINT = [
  "SAVEPOINT eventspool",
  "RELEASE eventspool",
  "ROLLBACK TO eventspool; RELEASE eventspool",
] as const;

/**
 * Runs `work` in a transaction, or in a savepoint of the one that is open: whatever it throws undoes what it did,
 * and passes as it is.
 *
 * @throws {EventStorageError} the transaction cannot begin, or cannot be committed
 */
export function atomically<T>(db: SqliteConnection, path: string, work: () => T): T {
  const [begin, keep, undo] = isInTransaction(db) ? SAVEPOINT : TRANSACTION;
  withStorageErrors(db, path, () => db.exec(begin));
  try {
    const result = work();
    withStorageErrors(db, path, () => db.exec(keep));
    return result;
  } catch (error) {
    if (isInTransaction(db)) db.exec(undo); // SQLite itself undoes all on a full disk, say
    throw error;
  }
}

/** Runs a statement of ours on the connection. @throws {EventStorageError} SQLite refuses it */
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
      : `for longer than this connection waits (busy_timeout: ${busyTimeoutMs(db)} ms), by another process, its publisher say: ` +
        "set PRAGMA busy_timeout = 5000 on the connection.";
  return new EventStorageError(code, path, `The database ${path} was locked, ${problem}`, { cause: error });
}

function busyTimeoutMs(db: SqliteConnection): unknown {
  return firstValue(db, "PRAGMA busy_timeout");
}
