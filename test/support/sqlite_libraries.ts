import process from "node:process";
import Database from "better-sqlite3";
import type { SqliteConnection } from "../../src/queue/outbox.ts";

/** A connection of one of the libraries. */
export interface TestConnection extends SqliteConnection {
  prepare(sql: string): ReturnType<SqliteConnection["prepare"]> & { all(...values: unknown[]): unknown[] };
  close(): void;
}

/** A SQLite library that this runtime has. */
export interface SqliteLibrary {
  readonly name: string;
  readonly Connection: OpenAny;
  open(path: string): TestConnection;
  openReadOnly(path: string): TestConnection;
}

type OpenAny = new (path: string, options?: object) => TestConnection;

const RUNTIME_LIBRARIES: Readonly<Record<string, string>> = {
  "bun:sqlite": "Database",
  "node:sqlite": "DatabaseSync",
};

const betterSqlite3: SqliteLibrary = {
  name: "better-sqlite3",
  Connection: Database as unknown as OpenAny,
  open: (path) => new Database(path) as unknown as TestConnection,
  openReadOnly: (path) => new Database(path, { readonly: true }) as unknown as TestConnection,
};

/** The runtime's own library. */
export const runtimeLibrary: SqliteLibrary = await ownLibrary(
  process.versions.bun === undefined ? "node:sqlite" : "bun:sqlite",
);

/** Those that the runtime of the tests has; the first is the one that eventspool uses in this process. */
export const SQLITE_LIBRARIES: readonly [SqliteLibrary, SqliteLibrary] =
  process.env.EVENTSPOOL_SQLITE === runtimeLibrary.name
    ? [runtimeLibrary, betterSqlite3]
    : [betterSqlite3, runtimeLibrary];

async function ownLibrary(name: string): Promise<SqliteLibrary> {
  const module = (await import(name)) as Record<string, OpenAny>;
  const Connection = module[RUNTIME_LIBRARIES[name] as string] as OpenAny;
  return {
    name,
    Connection,
    open: (path) => new Connection(path),
    openReadOnly: (path) =>
      new Connection(path, name === "bun:sqlite" ? { readonly: true } : { readOnly: true }),
  };
}

/** Opens a service's database: in WAL mode, with a table `orders` of its own, and others called as those of a queue. */
export function openShop(library: SqliteLibrary, path: string): TestConnection {
  const db = library.open(path);
  db.exec("PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000; PRAGMA synchronous = NORMAL");
  db.exec(`CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS event (mine TEXT);
    CREATE TABLE IF NOT EXISTS queue (mine TEXT);
    CREATE TABLE IF NOT EXISTS lease (mine TEXT);
    CREATE TABLE IF NOT EXISTS dead_letter (mine TEXT);
    CREATE TABLE IF NOT EXISTS rejected_put (mine TEXT);`);
  return db;
}
