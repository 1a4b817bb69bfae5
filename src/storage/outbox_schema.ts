/**
 * The tables of an outbox, in a service's own database: those of schema.sql under names of their own.
 *
 * `application_id` and `user_version` are the service's, so the version stands in a table, `eventspool_schema`.
 *
 * @module
 */
import { EventStorageError } from "../errors.ts";
import { SCHEMA_SQL } from "./schema.generated.ts";
import { MIGRATIONS } from "./schema.ts";
import {
  firstValue,
  mainFileOf,
  type SqliteConnection,
  Transactions,
  withStorageErrors,
} from "./user_connection.ts";

// What the tables are called.
//
// schema.sql and every statement use the plain names of a queue's own file. In a service's database, the
// tables of its outbox stand beside the service's, which may well have an `event` or a `queue`.

/** The tables and triggers of schema.sql, and nothing that only begins or ends like them. */
const NAMES = /\b(?:event|queue|lease|rejected_put|dead_letter(?:_added|_removed)?)\b/g;

/** What the name of each table of an outbox begins with. */
const OUTBOX_PREFIX = "eventspool_";

/** A statement for the tables of an outbox: `FROM event` becomes `FROM eventspool_event`. */
export function inOutbox(sql: string): string {
  return sql.replace(NAMES, `${OUTBOX_PREFIX}$&`);
}

const VERSION_TABLE = `${OUTBOX_PREFIX}schema`;

/** The version of the outbox in a database; undefined: there is no outbox in it. */
export function outboxVersion(db: SqliteConnection): number | undefined {
  const found = firstValue(db, `SELECT 1 FROM main.sqlite_schema WHERE name = '${VERSION_TABLE}'`);
  return found === undefined
    ? undefined
    : Number(firstValue(db, `SELECT version FROM main.${VERSION_TABLE}`));
}

/**
 * Whether an outbox must be made, or upgraded.
 *
 * @throws {EventStorageError} `NEWER_SCHEMA`: a newer eventspool has made it
 */
export function needsOutbox(db: SqliteConnection, migrations: readonly string[] = MIGRATIONS): boolean {
  const [version = 0, newest] = [outboxVersion(db), migrations.length + 1];
  if (version <= newest) return version < newest;
  const path = mainFileOf(db);
  const problem = `The outbox in ${path} has schema version ${version}, and this eventspool knows versions up to ${newest}: upgrade it.`;
  throw new EventStorageError("NEWER_SCHEMA", path, problem);
}

/**
 * Makes the outbox, or upgrades an older one; several processes may be at it at once.
 *
 * @throws {EventStorageError} as {@link needsOutbox}; the database cannot be written
 */
export function prepareOutbox(db: SqliteConnection, migrations: readonly string[] = MIGRATIONS): void {
  if (!needsOutbox(db, migrations)) return; // most often, and it takes no lock
  const path = mainFileOf(db);
  withStorageErrors(db, path, () => new Transactions(db, path).run(() => makeOrUpgrade(db, migrations)));
}

function makeOrUpgrade(db: SqliteConnection, migrations: readonly string[]): void {
  if (!needsOutbox(db, migrations)) return; // another process was first
  const version = outboxVersion(db);
  if (version === undefined) createOutbox(db);
  else for (const migration of migrations.slice(version - 1)) db.exec(inOutbox(migration));
  db.prepare(`UPDATE ${VERSION_TABLE} SET version = ?`).run(migrations.length + 1);
}

function createOutbox(db: SqliteConnection): void {
  // Not by exec, of whose errors, such as that of a read-only database, Deno's node:sqlite does not tell the number.
  db.prepare(`CREATE TABLE ${VERSION_TABLE} (version INTEGER NOT NULL) STRICT`).run();
  db.prepare(`INSERT INTO ${VERSION_TABLE} VALUES (0)`).run();
  db.exec(OUTBOX_SQL);
  db.prepare(inOutbox("INSERT INTO queue (one, uuid) VALUES (1, ?)")).run(crypto.randomUUID());
}

/** schema.sql without what names the file, and without comments, which would name the wrong tables. */
const OUTBOX_SQL: string = inOutbox(SCHEMA_SQL.replace(/^PRAGMA .*$/gm, "").replace(/ *--.*$/gm, ""));

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
