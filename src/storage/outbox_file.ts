/**
 * Opening a service's database for its publisher. The file stays the service's: nothing but the outbox's own rows
 * is changed in it, neither its journal mode nor its mode, and it is never made here.
 *
 * @module
 */
import { statSync } from "node:fs";
import { EventStorageError } from "../errors.ts";
import { retryWhileBusy } from "./lock_wait.ts";
import { prepareSchema, rejectOlderSchema, schemaVersion } from "./schema.ts";
import { openDatabase } from "./sqlite/driver.ts";
import type { Database } from "./sqlite/sqlite.ts";
import { rejectOtherJournal } from "./user_connection.ts";

/** The `application_id` of a queue's own file: "evsp". */
export const APPLICATION_ID = 0x65767370;

/** How a service's database is opened. */
export interface OutboxFileOptions {
  /** Whether nothing is to be written, not even an upgrade of an older outbox. */
  readonly isReadOnly: boolean;
  /** How long opening waits for others, in milliseconds. */
  readonly openTimeoutMs: number;
}

/**
 * Opens the database; the caller closes it, and sets what pragmas it likes on its own connection.
 *
 * @throws {EventStorageError} there is no such file, or no outbox in it; it is not in WAL mode; or SQLite's error
 */
export function openOutboxFile(path: string, { isReadOnly, openTimeoutMs }: OutboxFileOptions): Database {
  rejectNoDatabase(path);
  const db = openDatabase(path, { isReadOnly, busyTimeoutMs: openTimeoutMs });
  try {
    retryWhileBusy(() => rejectNoOutbox(db, path), openTimeoutMs);
    rejectOtherJournal(db, path);
    if (isReadOnly) rejectOlderSchema(db, path);
    else prepareSchema(db, path);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** A database that is not there is not made: the service makes it, with its own tables. */
function rejectNoDatabase(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isFile()) return;
  const problem = `There is no database ${path}: name the service's (queue.file, --file), and start the service first, which makes it.`;
  throw new EventStorageError("ENOENT", path, problem);
}

function rejectNoOutbox(db: Database, path: string): void {
  const isQueue = db.pragma("application_id") === APPLICATION_ID;
  if (!isQueue && schemaVersion(db) !== undefined) return;
  const problem = isQueue
    ? `The file ${path} is a queue's own file, not a service's database: name its directory and its queue (queue.directory, --directory, --queue-name) instead.`
    : `The database ${path} has no outbox: start the service first, which makes it (new Outbox(db, ...)), or name another file.`;
  throw new EventStorageError("NOT_A_QUEUE", path, problem);
}
