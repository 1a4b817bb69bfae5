/**
 * How a database gets the tables of a queue, and how older ones are upgraded. The same for a queue's own file and
 * for an outbox, through any of the three SQLite libraries.
 *
 * @module
 */
import { EventStorageError } from "../errors.ts";
import { SCHEMA_SQL } from "./schema.generated.ts";
import { firstValue, type SqliteConnection, Transactions, withStorageErrors } from "./user_connection.ts";

/**
 * SQL that upgrades the tables from version `index + 1` to `index + 2`. A change of schema.sql adds an entry here.
 */
export const MIGRATIONS: readonly string[] = [];

/** The version of the tables in a database. Undefined: it has none. */
export function schemaVersion(db: SqliteConnection): number | undefined {
  const found = firstValue(db, "SELECT 1 FROM main.sqlite_schema WHERE name = 'eventspool_schema'");
  return found === undefined
    ? undefined
    : Number(firstValue(db, "SELECT version FROM main.eventspool_schema"));
}

/**
 * Whether the tables must be created or upgraded.
 *
 * @param path the database's file, for errors
 * @throws {EventStorageError} `NEWER_SCHEMA`: a newer eventspool created them
 */
function needsSchema(
  db: SqliteConnection,
  path: string,
  migrations: readonly string[] = MIGRATIONS,
): boolean {
  const [version = 0, newest] = [schemaVersion(db), migrations.length + 1];
  if (version <= newest) return version < newest;
  const problem = `The queue in ${path} has schema version ${version}, and this eventspool knows versions up to ${newest}: upgrade it.`;
  throw new EventStorageError("NEWER_SCHEMA", path, problem);
}

/**
 * Creates or upgrades the tables in one transaction, where needed; several processes may do so at once.
 *
 * @param path the database's file, for errors
 * @throws {EventStorageError} as {@link needsSchema}; the database cannot be written
 */
export function prepareSchema(
  db: SqliteConnection,
  path: string,
  migrations: readonly string[] = MIGRATIONS,
): void {
  if (!needsSchema(db, path, migrations)) return; // most often, and it takes no lock
  withStorageErrors(db, path, () =>
    new Transactions(db, path).run(() => {
      if (needsSchema(db, path, migrations)) createOrUpgrade(db, migrations); // else another process was first
    }),
  );
}

/** @throws {EventStorageError} `OLDER_SCHEMA`: statements are written for today's tables */
export function rejectOlderSchema(db: SqliteConnection, path: string): void {
  if (!needsSchema(db, path)) return;
  const problem = `The queue in ${path} has schema version ${schemaVersion(db)}: the next service or publisher to open it upgrades it.`;
  throw new EventStorageError("OLDER_SCHEMA", path, problem);
}

function createOrUpgrade(db: SqliteConnection, migrations: readonly string[]): void {
  const version = schemaVersion(db) ?? create(db);
  for (const migration of migrations.slice(version - 1)) db.exec(migration);
  db.prepare("UPDATE eventspool_schema SET version = ?").run(migrations.length + 1);
}

/** Creates the tables of version 1. */
function create(db: SqliteConnection): 1 {
  const endOfFirst = SCHEMA_SQL.indexOf(") STRICT;") + ") STRICT;".length;
  // Not by exec, whose errors have no code in Deno's node:sqlite: a read-only database is found here.
  db.prepare(SCHEMA_SQL.slice(0, endOfFirst)).run();
  db.exec(SCHEMA_SQL.slice(endOfFirst));
  db.prepare("INSERT INTO eventspool_schema VALUES (1)").run();
  db.prepare("INSERT INTO eventspool_queue (one) VALUES (1)").run();
  db.prepare("INSERT INTO eventspool_epoch VALUES (1, ?, 'created', ?)").run(crypto.randomUUID(), Date.now());
  return 1;
}
