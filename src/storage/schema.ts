/**
 * How a database gets the tables of a queue, and how older ones are upgraded. The same for a queue's own file and
 * for an outbox, through any of the three SQLite libraries.
 */
import { EventStorageError } from "../errors.ts";
import { SCHEMA_SQL } from "./schema.generated.ts";
import { firstValue, type SqliteConnection, Transactions, withStorageErrors } from "./user_connection.ts";

/**
 * To version 2, in which events stay until they are trimmed and a queue has subscriptions. Tables that change are set
 * aside and created again, and their rows copied: `ALTER TABLE ... RENAME` would read all tables and views of a
 * service's database, and fail at one that is broken. schema.sql creates the tables as long as it is version 2; the
 * next version must put the text of version 2 here.
 */
const SUBSCRIPTIONS = `
  CREATE TABLE eventspool_queue_1 AS SELECT * FROM eventspool_queue;
  CREATE TABLE eventspool_lease_1 AS SELECT * FROM eventspool_lease;
  CREATE TABLE eventspool_dead_letter_1 AS SELECT * FROM eventspool_dead_letter;
  CREATE TABLE eventspool_sequence_1 AS SELECT seq FROM sqlite_sequence WHERE name = 'eventspool_lease';
  DROP TABLE eventspool_queue;
  DROP TABLE eventspool_lease;
  DROP TABLE eventspool_dead_letter;
  ${SCHEMA_SQL.replaceAll("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ")}
  INSERT INTO eventspool_queue (one, max_events, batch_version, settled_count, claimed_id, location)
    SELECT one, max_events, batch_version, removed_count, claimed_id, location FROM eventspool_queue_1;
  INSERT INTO eventspool_subscription (name, claimed_id, settled_count)
    SELECT 'default', claimed_id, removed_count FROM eventspool_queue_1;
  INSERT INTO eventspool_lease (id, subscription_id, first_id, last_id, claimed_at_ms, expires_at_ms, attempts, sends)
    SELECT id, 1, first_id, last_id, claimed_at_ms, expires_at_ms, attempts, sends FROM eventspool_lease_1;
  DELETE FROM sqlite_sequence WHERE name = 'eventspool_lease';
  INSERT INTO sqlite_sequence (name, seq) SELECT 'eventspool_lease', seq FROM eventspool_sequence_1;
  INSERT INTO eventspool_dead_letter (subscription_id, id, put_at_ms, dead_at_ms, attempts, status, response, body)
    SELECT 1, * FROM eventspool_dead_letter_1;
  UPDATE eventspool_subscription
    SET dropped_dead_letter_count = (SELECT dropped_dead_letter_count FROM eventspool_queue_1);
  DROP TABLE eventspool_queue_1;
  DROP TABLE eventspool_lease_1;
  DROP TABLE eventspool_dead_letter_1;
  DROP TABLE eventspool_sequence_1;`;

/** SQL that upgrades the tables from version `index + 1` to `index + 2`. A change of schema.sql adds an entry here. */
export const MIGRATIONS: readonly string[] = [SUBSCRIPTIONS];

/** The version of the tables in schema.sql. */
const SCHEMA_VERSION: number = MIGRATIONS.length + 1;

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
  if (!needsSchema(db, path, migrations)) return; // the usual case, without a lock
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

/** Creates the tables of schema.sql. Returns their version. */
function create(db: SqliteConnection): number {
  const endOfFirst = SCHEMA_SQL.indexOf(") STRICT;") + ") STRICT;".length;
  // Not by exec, whose errors have no code in Deno's node:sqlite: a read-only database is found here.
  db.prepare(SCHEMA_SQL.slice(0, endOfFirst)).run();
  db.exec(SCHEMA_SQL.slice(endOfFirst));
  db.prepare("INSERT INTO eventspool_schema VALUES (?)").run(SCHEMA_VERSION);
  db.prepare("INSERT INTO eventspool_queue (one) VALUES (1)").run();
  db.prepare(
    "INSERT INTO eventspool_subscription (name, claimed_id, settled_count) VALUES ('default', 0, 0)",
  ).run();
  db.prepare("INSERT INTO eventspool_epoch VALUES (1, ?, 'created', ?)").run(crypto.randomUUID(), Date.now());
  return SCHEMA_VERSION;
}
