import { existsSync } from "node:fs";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import {
  codeName,
  type Database,
  type Driver,
  firstColumn,
  type SqliteValue,
  type Statement,
} from "./sqlite.ts";

type NodeSqlite = typeof DatabaseSync;

/** node:sqlite, of Node and Deno. */
export function nodeSqlite(library: NodeSqlite): Driver {
  return {
    name: "node:sqlite",
    library: library.prototype,
    open: (path, { isReadOnly, busyTimeoutMs, onClose }) =>
      withCodes(() => {
        // Unlike the others, it creates a missing file.
        if (!existsSync(path)) throw Object.assign(new Error("no such file"), { code: "SQLITE_CANTOPEN" });
        const db = new Connection(path, new library(path, { readOnly: isReadOnly }), onClose);
        db.pragma(`busy_timeout = ${busyTimeoutMs}`);
        return db;
      }),
  };
}

class Connection implements Database {
  readonly name: string;
  readonly #db: DatabaseSync;
  readonly #onClose: (() => void) | undefined;
  #isOpen = true;

  constructor(path: string, db: DatabaseSync, onClose: (() => void) | undefined) {
    this.name = path;
    this.#db = db;
    this.#onClose = onClose;
  }

  get inTransaction(): boolean {
    return this.#db.isTransaction;
  }

  prepare<Params extends readonly SqliteValue[], Row>(sql: string): Statement<Params, Row> {
    const statement = withCodes(() => this.#db.prepare(sql));
    return statementOf<Params, Row>(statement, (row) => ({ ...row }) as Row); // without a prototype
  }

  prepareFirst<Params extends readonly SqliteValue[], Value>(sql: string): Statement<Params, Value> {
    const statement = withCodes(() => this.#db.prepare(sql));
    return statementOf<Params, Value>(statement, firstColumn<Value>());
  }

  exec(sql: string): void {
    // A single statement is prepared, because errors of exec have no code in Deno.
    withCodes(() => (/;\s*\S/.test(sql) ? this.#db.exec(sql) : this.#db.prepare(sql).run()));
  }

  pragma(text: string): unknown {
    const row = withCodes(() => this.#db.prepare(`PRAGMA ${text}`).get());
    return row === undefined ? undefined : firstColumn()(row);
  }

  close(): void {
    if (!this.#isOpen) return; // a second close throws
    this.#isOpen = false;
    this.#db.close();
    this.#onClose?.();
  }
}

function statementOf<Params extends readonly SqliteValue[], Row>(
  statement: StatementSync,
  toRow: (row: object) => Row,
): Statement<Params, Row> {
  return {
    run: (...params) => {
      const { changes } = withCodes(() => statement.run(...params));
      return { changes: Number(changes) };
    },
    get: (...params) => {
      const row = withCodes(() => statement.get(...params));
      return row === undefined ? undefined : toRow(row);
    },
    all: (...params) => withCodes(() => statement.all(...params)).map((row) => toRow(row as object)),
    *iterate(...params) {
      for (const row of withCodes(() => statement.iterate(...params))) yield toRow(row as object);
    },
  };
}

/** Adds the name of SQLite's code to an error: node:sqlite has only the number, as `errcode`. */
function withCodes<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code, errcode } = error as { code?: unknown; errcode?: unknown };
    if (code === "ERR_SQLITE_ERROR") Object.assign(error as object, { code: codeName(Number(errcode ?? 1)) });
    throw error;
  }
}
