/**
 * Making a queue's file with the mode it is to have.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { chmodSync, closeSync, existsSync, linkSync, openSync, rmSync } from "node:fs";

/**
 * Makes an empty file, a new database to SQLite, unless there is one. SQLite would make it readable by
 * everyone; so there is no moment in which it is. The -wal and -shm get the mode of the file from SQLite.
 *
 * It is made under another name and linked to its own: closing a file that another connection of this
 * process has just opened would drop that connection's POSIX locks.
 *
 * @param mode such as 0o600, whatever the umask
 */
export function makeFile(path: string, mode: number): void {
  if (existsSync(path)) return;
  const temporary = `${path}-${randomUUID()}`;
  try {
    closeSync(openSync(temporary, "wx", 0o600));
    chmodSync(temporary, mode); // the umask may have taken away what was asked for
    linkSync(temporary, path);
  } catch {
    // Another process was first, or it cannot be made here: SQLite says so when it opens it. On a file
    // system without hard links SQLite makes it, and with its own mode.
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Whether a queue's file may have this mode: its owner must be able to read and write it. */
export function isFileMode(mode: number): boolean {
  return Number.isInteger(mode) && mode >= 0o600 && mode <= 0o777 && (mode & 0o600) === 0o600;
}
