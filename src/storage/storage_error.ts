/** SQLite's result codes as errors that say what to do. */
import { EventStorageError } from "../errors.ts";
import { formatDuration } from "../format.ts";
import { codeName } from "./sqlite/sqlite.ts";

/** What happened and what to do about it, by the beginning of SQLite's result code; the first that fits. */
const ADVICE: ReadonlyArray<readonly [code: string, advice: string]> = [
  ["SQLITE_FULL", "cannot grow: the disk is full. Free some space; nothing that was put before is lost."],
  [
    "SQLITE_NOTADB",
    "is not a queue file: it is not an SQLite database. Move it away, or name another queue.",
  ],
  [
    "SQLITE_CORRUPT",
    "is damaged. Move it away, so that a new one can be created, and save what can be read with eventspool salvage.",
  ],
  [
    "SQLITE_READONLY_DIRECTORY",
    "is in a directory that this process may not write to: check its owner and mode.",
  ],
  ["SQLITE_READONLY", "may not be written by this process: check its owner and mode."],
  [
    "SQLITE_CANTOPEN",
    "cannot be opened: check that its directory exists and may be written by this process.",
  ],
  ["SQLITE_PERM", "may not be used by this process: check its owner and mode."],
  ["SQLITE_IOERR_SHMSIZE", "cannot be opened: the disk is full. Free some space."],
  ["SQLITE_IOERR", "cannot be read or written: the disk or the file system reports an error."],
];

/** SQLite's result code, of the error of any library: a name or, in node:sqlite, a number. Undefined: it is no error of SQLite. */
export function sqliteCodeOf(error: unknown): string | undefined {
  if (error instanceof EventStorageError) return undefined; // it says already what to do
  const { code, errcode } = (error ?? {}) as { code?: unknown; errcode?: unknown };
  if (code === "ERR_SQLITE_ERROR") return codeName(Number(errcode ?? 1));
  return typeof code === "string" && code.startsWith("SQLITE_") ? code : undefined;
}

/**
 * Turns an error of SQLite's into an {@link EventStorageError}; any other error stays as it is.
 *
 * @param busyForMs of an error about a lock: for how long every attempt has found it held, in milliseconds
 */
export function toStorageError(error: unknown, path: string, busyForMs: number = 0): unknown {
  const code = sqliteCodeOf(error);
  if (code === undefined) return error;
  const isLocked = /^SQLITE_(BUSY|PROTOCOL)/.test(code);
  const advice = isLocked ? lockAdvice(busyForMs) : ADVICE.find(([prefix]) => code.startsWith(prefix))?.[1];
  const detail = `(${code}: ${(error as Error).message})`;
  return new EventStorageError(
    code,
    path,
    `The queue file ${path} ${advice ?? "cannot be used."} ${detail}`,
    {
      cause: error,
    },
  );
}

function lockAdvice(busyForMs: number): string {
  const time = busyForMs < 1 ? "" : ` at every attempt for ${formatDuration(busyForMs)}`;
  return `stayed locked by another process${time}: see which one holds it (a stopped process, an open shell).`;
}

/** Whether a queue file fails because the disk is full. */
export function isDiskFull(error: unknown): boolean {
  return error instanceof EventStorageError && ["SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"].includes(error.code);
}
