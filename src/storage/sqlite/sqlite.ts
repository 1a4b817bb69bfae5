/**
 * The interface to SQLite that the queue file uses, for three libraries.
 *
 * The libraries differ in small things: the shape of a row, where an error has SQLite's code, whether closing a
 * connection releases the file. Each adapter in this folder hides these differences, and
 * `test/runtime/storage/sqlite.test.ts` runs the same checks on all of them.
 */

/** A value of a statement. */
export type SqliteValue = string | number | bigint | Uint8Array | null;

/** A statement that is prepared once and run many times. */
export interface Statement<Params extends readonly SqliteValue[], Row> {
  /** Runs the statement. `changes` does not count rows that triggers changed. */
  run(...params: Params): { readonly changes: number };
  /** The first row; undefined if there is none. */
  get(...params: Params): Row | undefined;
  /** All rows. */
  all(...params: Params): Row[];
  /** The rows, one at a time; leaving the loop ends the statement. */
  iterate(...params: Params): IterableIterator<Row>;
}

/** An open database. Its errors have SQLite's result code as `code`: `SQLITE_BUSY`, `SQLITE_IOERR_SHMSIZE`. */
export interface Database {
  /** The path it was opened with. */
  readonly name: string;
  /** Whether a transaction is open. */
  readonly inTransaction: boolean;
  /** Prepares a statement whose rows are objects, with a member per column. */
  prepare<Params extends readonly SqliteValue[] = [], Row = unknown>(sql: string): Statement<Params, Row>;
  /** Prepares a statement that returns the values of the first column instead of rows. */
  prepareFirst<Params extends readonly SqliteValue[] = [], Value = unknown>(
    sql: string,
  ): Statement<Params, Value>;
  /** Runs statements that return nothing. */
  exec(sql: string): void;
  /** Sets or reads a pragma; the first column of its first row. */
  pragma(text: string): unknown;
  /** Closes the connection and its statements, which releases the file at once. A second call does nothing. */
  close(): void;
}

/** How a database is opened. */
export interface OpenOptions {
  /** Whether the connection may only read. */
  readonly isReadOnly: boolean;
  /** SQLite's own busy timeout, in milliseconds. */
  readonly busyTimeoutMs: number;
  /** Is called when the database is closed. */
  readonly onClose?: () => void;
}

/** The name of a SQLite library: of its package, or of the runtime's module. */
export type DriverName = "better-sqlite3" | "bun:sqlite" | "node:sqlite";

/** A library that provides SQLite. */
export interface Driver {
  readonly name: DriverName;
  /** The prototype of its connections. */
  readonly library: object;
  /** Opens a file that exists. @throws SQLite's error, with its code */
  open(path: string, options: OpenOptions): Database;
}

/** Runs `work` in a transaction that takes the write lock first. An error rolls it back and is thrown. */
export function inImmediate<T>(db: Database, work: () => T): T {
  return new Transaction(db).run(work);
}

/** Runs `work` in a transaction that reads one snapshot of the file. An error rolls it back and is thrown. */
export function inDeferred<T>(db: Database, work: () => T): T {
  return new Transaction(db, "BEGIN").run(work);
}

/** Transactions of one connection, with statements that are prepared once. */
export class Transaction {
  readonly #db: Database;
  readonly #begin: Statement<[], unknown>;
  readonly #commit: Statement<[], unknown>;
  readonly #rollback: Statement<[], unknown>;

  constructor(db: Database, begin: "BEGIN" | "BEGIN IMMEDIATE" = "BEGIN IMMEDIATE") {
    this.#db = db;
    this.#begin = db.prepare(begin);
    this.#commit = db.prepare("COMMIT");
    this.#rollback = db.prepare("ROLLBACK");
  }

  /** Runs `work` in a transaction, or as part of an open one. An error rolls the transaction back and is thrown. */
  run<T>(work: () => T): T {
    if (this.#db.inTransaction) return work();
    this.#begin.run();
    try {
      const result = work();
      this.#commit.run();
      return result;
    } catch (error) {
      if (this.#db.inTransaction) this.#rollback.run(); // on a full disk, for example, SQLite has already rolled back
      throw error;
    }
  }
}

/** Reads the first column of each row of one statement. It looks up the name once, which saves a fifth of the time. */
export function firstColumn<Value>(): (row: object) => Value {
  let name: string | undefined;
  return (row) => {
    name ??= Object.keys(row)[0];
    return (row as Record<string, Value>)[name as string] as Value;
  };
}

/** SQLite's result codes by number, which is all that node:sqlite has: the primary codes, and the extended ones we use. */
const CODES: Readonly<Record<number, string>> = {
  1: "SQLITE_ERROR",
  3: "SQLITE_PERM",
  5: "SQLITE_BUSY",
  6: "SQLITE_LOCKED",
  8: "SQLITE_READONLY",
  10: "SQLITE_IOERR",
  11: "SQLITE_CORRUPT",
  13: "SQLITE_FULL",
  14: "SQLITE_CANTOPEN",
  15: "SQLITE_PROTOCOL",
  19: "SQLITE_CONSTRAINT",
  26: "SQLITE_NOTADB",
  261: "SQLITE_BUSY_RECOVERY",
  275: "SQLITE_CONSTRAINT_CHECK",
  517: "SQLITE_BUSY_SNAPSHOT",
  773: "SQLITE_BUSY_TIMEOUT",
  1544: "SQLITE_READONLY_DIRECTORY",
  1555: "SQLITE_CONSTRAINT_PRIMARYKEY",
  1811: "SQLITE_CONSTRAINT_TRIGGER",
  4874: "SQLITE_IOERR_SHMSIZE",
};

/** The name of a result code. An extended code that is not listed has the name of its primary code. */
export function codeName(number: number): string {
  return CODES[number] ?? CODES[number & 0xff] ?? "SQLITE_ERROR";
}
