/**
 * The tables of an outbox, in a service's own database: those of schema.sql under names of their own.
 *
 * `application_id` and `user_version` are the service's, so the version stands in a table, `eventspool_schema`.
 *
 * @module
 */
import { EventStorageError } from "../errors.ts";
import {
  firstValue,
  mainFileOf,
  type SqliteConnection,
  Transactions,
  withStorageErrors,
} from "./connection.ts";
import { MIGRATIONS } from "./migrations.ts";
import { SCHEMA_SQL } from "./schema.generated.ts";
import { inOutbox, OUTBOX_PREFIX } from "./table_names.ts";

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
