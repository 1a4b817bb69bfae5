/**
 * SQLite's result codes as errors that say what to do.
 *
 * @module
 */
import { EventStorageError } from "../errors.ts";

/** What happened and what to do about it, by the beginning of SQLite's result code; the first that fits. */
const ADVICE: ReadonlyArray<readonly [code: string, advice: string]> = [
  [
    "SQLITE_BUSY",
    "stayed locked by another process: see which one holds it (a stopped process, an open shell).",
  ],
  [
    "SQLITE_PROTOCOL",
    "stayed locked by another process: see which one holds it (a stopped process, an open shell).",
  ],
  ["SQLITE_FULL", "cannot grow: the disk is full. Free some space; nothing that was put before is lost."],
  ["SQLITE_NOTADB", "is not a queue file: it is no SQLite database. Move it away, or name another queue."],
  ["SQLITE_CORRUPT", "is damaged. Keep a copy, and move it away so that a new one can be made."],
  [
    "SQLITE_READONLY_DIRECTORY",
    "is in a directory that this process may not write to: see to its owner and mode.",
  ],
  ["SQLITE_READONLY", "may not be written by this process: see to its owner and mode."],
  ["SQLITE_CANTOPEN", "cannot be opened: see that its directory exists and may be written by this process."],
  ["SQLITE_PERM", "may not be used by this process: see to its owner and mode."],
  ["SQLITE_IOERR_SHMSIZE", "cannot be opened: the disk is full. Free some space."],
  ["SQLITE_IOERR", "cannot be read or written: the disk or the file system reports an error."],
];

/** Turns an error of better-sqlite3 into an {@link EventStorageError}; any other error stays as it is. */
export function toStorageError(error: unknown, path: string): unknown {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== "string" || !code.startsWith("SQLITE_")) return error;
  const advice = ADVICE.find(([prefix]) => code.startsWith(prefix))?.[1] ?? "cannot be used.";
  const detail = `(${code}: ${(error as Error).message})`;
  return new EventStorageError(code, path, `The queue file ${path} ${advice} ${detail}`, { cause: error });
}

/** Whether it is for want of space on the disk that a queue file fails. */
export function isDiskFull(error: unknown): boolean {
  return error instanceof EventStorageError && ["SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"].includes(error.code);
}
