import { existsSync } from "node:fs";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { codeName, type Database, type Driver, type SqliteValue, type Statement } from "./sqlite.ts";

type NodeSqlite = typeof DatabaseSync;

/** node:sqlite, of Node and Deno. */
export function nodeSqlite(library: NodeSqlite): Driver {
  return {
    name: "node:sqlite",
    library: library.prototype,
    open: (path, { isReadOnly, busyTimeoutMs }) =>
      withCodes(() => {
        // Unlike the others, it creates a file that is not there.
        if (!existsSync(path)) throw Object.assign(new Error("no such file"), { code: "SQLITE_CANTOPEN" });
        const db = new Connection(path, new library(path, { readOnly: isReadOnly }));
        db.pragma(`busy_timeout = ${busyTimeoutMs}`);
        return db;
      }),
  };
}

class Connection implements Database {
  readonly name: string;
  readonly #db: DatabaseSync;
  #isOpen = true;
  /** Node < 22.16 and Deno < 2.4 cannot tell, and a rollback of nothing fails. */
  #depth = 0;

  constructor(path: string, db: DatabaseSync) {
    this.name = path;
    this.#db = db;
  }

  get inTransaction(): boolean {
    return this.#db.isTransaction ?? this.#depth > 0;
  }

  prepare<Params extends readonly SqliteValue[], Row>(sql: string): Statement<Params, Row> {
    const statement = withCodes(() => this.#db.prepare(sql));
    return statementOf<Params, Row>(statement, (row) => row as Row);
  }

  prepareFirst<Params extends readonly SqliteValue[], Value>(sql: string): Statement<Params, Value> {
    const statement = withCodes(() => this.#db.prepare(sql));
    return statementOf<Params, Value>(statement, firstColumn<Value>);
  }

  exec(sql: string): void {
    // Prepared and not by exec, whose errors have no code in Deno, where it is one statement.
    if (/^(?:BEGIN|COMMIT|ROLLBACK)/.test(sql)) {
      withCodes(() => this.#db.prepare(sql).run());
      this.#depth = sql.startsWith("BEGIN") ? 1 : 0;
    } else withCodes(() => this.#db.exec(sql));
  }

  pragma(text: string): unknown {
    const row = withCodes(() => this.#db.prepare(`PRAGMA ${text}`).get());
    return row === undefined ? undefined : firstColumn(row);
  }

  close(): void {
    if (!this.#isOpen) return; // it throws when it is closed twice
    this.#isOpen = false;
    this.#db.close();
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

function firstColumn<Value>(row: object): Value {
  for (const name in row) return row[name as keyof typeof row] as Value;
  throw new Error("a row without columns");
}

/** Gives an error SQLite's code by name: node:sqlite tells its number, as `errcode`. */
function withCodes<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code, errcode } = error as { code?: unknown; errcode?: unknown };
    if (code === "ERR_SQLITE_ERROR") Object.assign(error as object, { code: codeName(Number(errcode ?? 1)) });
    throw error;
  }
}
