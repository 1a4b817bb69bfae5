/**
 * What is in a queue file, and how a new or older file comes to have it.
 *
 * @module
 */
import type Database from "better-sqlite3";
import { EventStorageError } from "../errors.ts";
import { SCHEMA_SQL } from "./schema.generated.ts";

/** `application_id` in schema.sql. */
export const APPLICATION_ID = 0x65767370;

/** Makes the schema in a new file. Call it in a transaction. */
export function createSchema(db: Database.Database): void {
  db.exec(SCHEMA_SQL);
  db.prepare("INSERT INTO queue (one, uuid) VALUES (1, ?)").run(crypto.randomUUID());
}

/**
 * Whether the file is of an older version.
 *
 * @throws {EventStorageError} `EMPTY`: there is nothing in it; `NOT_A_QUEUE`: another program's database;
 * `NEWER_SCHEMA`: a newer eventspool's
 */
export function needsMigration(db: Database.Database, migrations: readonly string[] = MIGRATIONS): boolean {
  const owner = pragmaNumber(db, "application_id");
  const version = pragmaNumber(db, "user_version");
  if (owner === 0 && version === 0 && isEmpty(db)) throw emptyFile(db.name);
  const newest = migrations.length + 1;
  if (owner !== APPLICATION_ID) {
    throw new EventStorageError(
      "NOT_A_QUEUE",
      db.name,
      `The file ${db.name} is not a queue file: it is another program's SQLite database. Move it away, or name another queue.`,
    );
  }
  if (version > newest) {
    throw new EventStorageError(
      "NEWER_SCHEMA",
      db.name,
      `The queue file ${db.name} has schema version ${version}, and this eventspool knows versions up to ${newest}: upgrade it.`,
    );
  }
  return version < newest;
}

/** Takes an older file through the migrations. Call it in a transaction. */
export function migrate(db: Database.Database, migrations: readonly string[] = MIGRATIONS): void {
  for (const migration of migrations.slice(pragmaNumber(db, "user_version") - 1)) db.exec(migration);
  db.pragma(`user_version = ${migrations.length + 1}`);
}

/** A queue's file is never empty, so this one was cut off, and to begin anew in it would hide that. */
export function emptyFile(path: string): EventStorageError {
  const problem = `The queue file ${path} is empty: it was cut off, and what was in it is gone. Put a copy in its place if there is one, or remove it with its -wal and -shm to begin anew.`;
  return new EventStorageError("EMPTY", path, problem);
}

function isEmpty(db: Database.Database): boolean {
  return db.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() === undefined;
}

function pragmaNumber(db: Database.Database, name: string): number {
  return db.pragma(name, { simple: true }) as number;
}

/** From version 1: dead letters are counted, their bodies stand last; rejected puts are counted. */
const TO_VERSION_2 = `
ALTER TABLE queue ADD COLUMN dead_letter_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN dead_letter_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN dropped_dead_letter_count INTEGER NOT NULL DEFAULT 0;
CREATE TABLE rejected_put (reason TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID;

ALTER TABLE dead_letter RENAME TO dead_letter_1;
CREATE TABLE dead_letter (
  id         INTEGER PRIMARY KEY,
  put_at_ms  INTEGER NOT NULL,
  dead_at_ms INTEGER NOT NULL,
  attempts   INTEGER NOT NULL,
  status     INTEGER NOT NULL,
  answer     TEXT    NOT NULL,
  body       BLOB    NOT NULL
) STRICT;
CREATE TRIGGER dead_letter_added AFTER INSERT ON dead_letter BEGIN
  UPDATE queue SET dead_letter_count = dead_letter_count + 1,
    dead_letter_bytes = dead_letter_bytes + length(NEW.body) + length(CAST(NEW.answer AS BLOB));
END;
CREATE TRIGGER dead_letter_removed AFTER DELETE ON dead_letter BEGIN
  UPDATE queue SET dead_letter_count = dead_letter_count - 1,
    dead_letter_bytes = dead_letter_bytes - length(OLD.body) - length(CAST(OLD.answer AS BLOB));
END;
INSERT INTO dead_letter (id, put_at_ms, dead_at_ms, attempts, status, answer, body)
  SELECT id, put_at_ms, dead_at_ms, attempts, status, answer, body FROM dead_letter_1;
DROP TABLE dead_letter_1;
`;

/** From version 2: an event may tell of the span that put it. */
const TO_VERSION_3 = "ALTER TABLE event ADD COLUMN trace TEXT;";

/**
 * SQL that takes a file from version `index + 1` to `index + 2`. A change of schema.sql raises its
 * `user_version` and adds one entry here.
 */
export const MIGRATIONS: readonly string[] = [TO_VERSION_2, TO_VERSION_3];
