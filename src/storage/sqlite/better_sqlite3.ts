import process from "node:process";
import type { Database as BetterDatabase } from "better-sqlite3";
import { EventStorageError } from "../../errors.ts";
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

/**
 * The oldest that run better-sqlite3 13, found by trying: Bun 1.4.0 panics (`NAPI FATAL ERROR`), Node 22.13 ends
 * with a segmentation fault. Deno has run it since 2.0. `engines` in package.json says the same.
 */
const OLDEST_BUN = "1.4.1";
const OLDEST_NODE = "22.14.0";

/** The part of `process.versions` that tells the runtimes apart: Bun and Deno have a Node version, too. */
export interface RuntimeVersions {
  readonly bun?: string | undefined;
  readonly deno?: string | undefined;
  readonly node: string;
}

/** @throws {EventStorageError} `OLD_RUNTIME`: the runtime would crash when it opens the file with better-sqlite3 */
export function checkRuntime(path: string, { bun, deno, node }: RuntimeVersions = process.versions): void {
  if (bun !== undefined) rejectOldRuntime(path, "Bun", bun, OLDEST_BUN);
  else if (deno === undefined) rejectOldRuntime(path, "Node", node, OLDEST_NODE);
}

function rejectOldRuntime(path: string, name: string, version: string, oldest: string): void {
  if (version.localeCompare(oldest, "en", { numeric: true }) >= 0) return;
  const problem = `The file ${path} is not opened: ${name} ${version} crashes in SQLite's addon. Upgrade to ${name} ${oldest} or later.`;
  throw new EventStorageError("OLD_RUNTIME", path, problem);
}
