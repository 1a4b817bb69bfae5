/**
 * Making a queue's file.
 *
 * @module
 */
import { chmodSync, closeSync, existsSync, linkSync, openSync, renameSync, rmSync } from "node:fs";
import Database from "better-sqlite3";
import { createSchema } from "./schema.ts";

/**
 * Makes a queue's file, complete, unless there is one. Made under another name and then linked to its own,
 * so that nobody ever sees half of it: an empty file is one that lost its events, and no new queue. It is
 * never readable by others, either; SQLite would make it so. The -wal and -shm get its mode from SQLite.
 *
 * @param mode such as 0o600, whatever the umask
 * @throws SQLite's error, such as of a full disk
 */
export function makeFile(path: string, mode: number): void {
  if (existsSync(path)) return;
  const temporary = `${path}-${crypto.randomUUID()}`;
  try {
    closeSync(openSync(temporary, "wx", 0o600));
    fill(temporary);
    chmodSync(temporary, mode); // the umask may have taken away what was asked for
    moveTo(path, temporary);
  } catch (error) {
    // Another process was first, or no file can be made here: then SQLite says so when it opens it.
    if (error instanceof Database.SqliteError) throw error;
  } finally {
    removeQuietly(temporary);
  }
}

/** On a disk that is read-only there is nothing to remove, and even that is an error. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // SQLite says what is wrong with the place
  }
}

/** Whether a queue's file may have this mode: its owner must be able to read and write it. */
export function isFileMode(mode: number): boolean {
  return Number.isInteger(mode) && mode >= 0o600 && mode <= 0o777 && (mode & 0o600) === 0o600;
}

function fill(path: string): void {
  const db = new Database(path);
  try {
    db.transaction(() => createSchema(db))();
    db.pragma("journal_mode = WAL"); // the file keeps it
  } finally {
    db.close();
  }
}

/** Links, since renaming would put a new file in the place of one that another process has made meanwhile. */
function moveTo(path: string, temporary: string): void {
  try {
    linkSync(temporary, path);
  } catch (error) {
    // Some file systems have no links.
    if ((error as NodeJS.ErrnoException).code === "EEXIST" || existsSync(path)) return;
    renameSync(temporary, path);
  }
}
