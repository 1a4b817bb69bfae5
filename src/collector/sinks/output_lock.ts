/**
 * One process at a time.
 *
 * @module
 */
import { chmodSync, closeSync, lstatSync } from "node:fs";
import { EventStorageError } from "../../errors.ts";
import { openDatabase } from "../../storage/sqlite/driver.ts";
import type { Database } from "../../storage/sqlite/sqlite.ts";
import { createFile, DEFAULT_OUTPUT_MODE } from "./append_file.ts";

/**
 * Holds `OUTPUT-lock` while a sink is open: two processes that append to one file would each cut off what the
 * other is writing, and know nothing of the ids that the other has kept. The lock is SQLite's on an empty file: the
 * runtimes have none themselves, and unlike a file with a process id it is gone with the process, however it ends.
 *
 * It is the lock of whoever is about to write (RESERVED), and the file is its owner's alone: those who merely read the
 * file, a backup say, neither hold it nor keep us from it.
 */
export class OutputLock {
  readonly #db: Database;

  /** @throws {EventStorageError} `LOCKED`: another sink has the output, in this process or another one */
  constructor(outputPath: string) {
    const path = `${outputPath}-lock`;
    this.#db = open(path);
    try {
      this.#db.pragma("journal_mode = OFF"); // there is nothing to roll back
      this.#db.exec("BEGIN IMMEDIATE");
    } catch (cause) {
      this.#db.close();
      throw lockError(outputPath, path, cause);
    }
  }

  release(): void {
    this.#db.close();
  }
}

function open(path: string): Database {
  try {
    makeLockFile(path);
    return openDatabase(path, { isReadOnly: false, busyTimeoutMs: 0 });
  } catch (cause) {
    if (cause instanceof EventStorageError) throw cause;
    const { code = "UNKNOWN", message } = cause as NodeJS.ErrnoException;
    const problem = `Cannot open ${path}: ${message}. See that this user may write to the directory.`;
    throw new EventStorageError(code, path, problem, { cause });
  }
}

function makeLockFile(path: string): void {
  const made = createFile(path, DEFAULT_OUTPUT_MODE);
  if (made !== undefined) closeSync(made);
  const found = lstatSync(path);
  if (!found.isFile() || found.size > 0)
    throw new EventStorageError(
      "NOT_A_FILE",
      path,
      `${path} is not the empty file that a lock is: remove it.`,
    );
  if ((found.mode & 0o777) !== DEFAULT_OUTPUT_MODE) chmodSync(path, DEFAULT_OUTPUT_MODE);
}

function lockError(outputPath: string, path: string, cause: unknown): EventStorageError {
  const { code = "", message } = cause as NodeJS.ErrnoException;
  if (!code.startsWith("SQLITE_BUSY"))
    return new EventStorageError(code, path, `Cannot lock ${path}: ${message}.`, { cause });
  const problem = `${outputPath} is in use by another collector: stop that one, or give this one another output.`;
  return new EventStorageError("LOCKED", outputPath, problem, { cause });
}
