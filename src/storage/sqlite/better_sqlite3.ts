import type { Database as BetterDatabase } from "better-sqlite3";
import type { Database, Driver, OpenOptions, SqliteValue, Statement } from "./sqlite.ts";

type BetterSqlite3 = new (
  path: string,
  options: { readonly?: boolean; fileMustExist?: boolean; timeout?: number },
) => BetterDatabase;

/** better-sqlite3. Its statements need no adapter. */
export function betterSqlite3(library: BetterSqlite3): Driver {
  return {
    name: "better-sqlite3",
    library: library.prototype as object,
    open: (path, options) => new Connection(new library(path, optionsOf(options)), options.onClose),
  };
}

function optionsOf({ isReadOnly, busyTimeoutMs }: OpenOptions) {
  return { readonly: isReadOnly, fileMustExist: true, timeout: busyTimeoutMs };
}

class Connection implements Database {
  readonly #db: BetterDatabase;
  readonly #onClose: (() => void) | undefined;

  constructor(db: BetterDatabase, onClose: (() => void) | undefined) {
    this.#db = db;
    this.#onClose = onClose;
  }

  get name(): string {
    return this.#db.name;
  }

  get inTransaction(): boolean {
    return this.#db.inTransaction;
  }

  prepare<Params extends readonly SqliteValue[], Row>(sql: string): Statement<Params, Row> {
    return this.#db.prepare(sql) as unknown as Statement<Params, Row>;
  }

  prepareFirst<Params extends readonly SqliteValue[], Value>(sql: string): Statement<Params, Value> {
    const statement = this.#db.prepare(sql);
    return (statement.reader ? statement.pluck() : statement) as unknown as Statement<Params, Value>;
  }

  exec(sql: string): void {
    this.#db.exec(sql);
  }

  pragma(text: string): unknown {
    return this.#db.pragma(text, { simple: true });
  }

  close(): void {
    this.#db.close();
    this.#onClose?.();
  }
}
