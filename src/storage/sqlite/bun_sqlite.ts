import { type Database, type Driver, firstColumn, type SqliteValue, type Statement } from "./sqlite.ts";

/** The part of bun:sqlite that is used. Its types need @types/bun. */
interface BunStatement {
  run(...params: readonly SqliteValue[]): { readonly changes: number };
  get(...params: readonly SqliteValue[]): unknown;
  all(...params: readonly SqliteValue[]): unknown[];
  values(...params: readonly SqliteValue[]): unknown[][];
  iterate(...params: readonly SqliteValue[]): IterableIterator<unknown>;
  finalize(): void;
}

interface BunDatabase {
  readonly inTransaction: boolean;
  prepare(sql: string): BunStatement;
  run(sql: string): unknown;
  close(): void;
}

type BunSqlite = new (path: string, options: { readonly?: boolean; readwrite?: boolean }) => BunDatabase;

/** bun:sqlite. */
export function bunSqlite(library: BunSqlite): Driver {
  return {
    name: "bun:sqlite",
    library: library.prototype as object,
    open: (path, { isReadOnly, busyTimeoutMs, onClose }) => {
      const connection = new library(path, isReadOnly ? { readonly: true } : { readwrite: true });
      const db = new Connection(path, connection, onClose);
      db.pragma(`busy_timeout = ${busyTimeoutMs}`);
      return db;
    },
  };
}

class Connection implements Database {
  readonly name: string;
  readonly #db: BunDatabase;
  readonly #onClose: (() => void) | undefined;
  /** Bun keeps the file open and locked until the last statement is finalized. */
  readonly #statements: BunStatement[] = [];

  constructor(path: string, db: BunDatabase, onClose: (() => void) | undefined) {
    this.name = path;
    this.#db = db;
    this.#onClose = onClose;
  }

  get inTransaction(): boolean {
    return this.#db.inTransaction;
  }

  prepare<Params extends readonly SqliteValue[], Row>(sql: string): Statement<Params, Row> {
    const statement = this.#prepare(sql);
    return {
      run: (...params) => statement.run(...params),
      get: (...params) => (statement.get(...params) ?? undefined) as Row | undefined,
      all: (...params) => statement.all(...params) as Row[],
      iterate: (...params) => statement.iterate(...params) as IterableIterator<Row>,
    };
  }

  prepareFirst<Params extends readonly SqliteValue[], Value>(sql: string): Statement<Params, Value> {
    const statement = this.#prepare(sql);
    const firstOf = firstColumn<Value>();
    return {
      run: (...params) => statement.run(...params),
      get: (...params) => {
        const row = statement.get(...params);
        return row ? firstOf(row as object) : undefined;
      },
      all: (...params) => statement.values(...params).map((row) => row[0] as Value),
      *iterate(...params) {
        for (const row of statement.iterate(...params)) yield firstOf(row as object);
      },
    };
  }

  exec(sql: string): void {
    this.#db.run(sql);
  }

  pragma(text: string): unknown {
    const statement = this.#db.prepare(`PRAGMA ${text}`);
    try {
      return statement.values()[0]?.[0];
    } finally {
      statement.finalize();
    }
  }

  close(): void {
    for (const statement of this.#statements.splice(0)) statement.finalize();
    this.#db.close();
    this.#onClose?.();
  }

  #prepare(sql: string): BunStatement {
    const statement = this.#db.prepare(sql);
    this.#statements.push(statement);
    return statement;
  }
}
