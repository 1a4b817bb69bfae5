/** The files of a sink: opening, appending, and the lock that keeps a second collector out. */
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  openSync,
  writeSync,
} from "node:fs";
import { promisify } from "node:util";
import { DEFAULT_OUTPUT_MODE } from "../../config/collector_defaults.ts";
import { EventStorageError } from "../../errors.ts";
import { explainFileError } from "../../file_error.ts";
import { openDatabase } from "../../storage/sqlite/driver.ts";
import type { Database } from "../../storage/sqlite/sqlite.ts";

export const fdatasyncAsync: (file: number) => Promise<void> = promisify(fdatasync);

/** Creates a file with exactly this mode, whatever the umask. Undefined: the name exists, perhaps as a link. */
export function createFile(path: string, mode: number): number | undefined {
  const { O_APPEND, O_CREAT, O_EXCL, O_RDWR } = constants;
  let file: number;
  try {
    file = openSync(path, O_APPEND | O_CREAT | O_EXCL | O_RDWR, mode);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    throw error;
  }
  fchmodSync(file, mode);
  return file;
}

/** Turns the system's error into one that says why the file cannot be opened. */
export function describeOpenError(cause: unknown, path: string): EventStorageError {
  if (cause instanceof EventStorageError) return cause;
  const { code = "UNKNOWN" } = cause as NodeJS.ErrnoException;
  return new EventStorageError(code, path, `Cannot open ${path}: ${explainFileError(cause, path)}.`, {
    cause,
  });
}

/** A file that is only appended to or truncated. */
export class AppendFile {
  /** The size that the file should have, in bytes. */
  sizeBytes: number;
  /** To read from. */
  readonly descriptor: number;
  readonly inode: number;

  /** Opens the file, or creates it with a mode. @throws the system's error */
  constructor(path: string, mode: number) {
    this.descriptor = createFile(path, mode) ?? openSync(path, "a+", mode); // creates also what a link points to
    ({ size: this.sizeBytes, ino: this.inode } = fstatSync(this.descriptor));
  }

  /** Appends data. When it throws, part of the data may be in the file: see {@link truncate}. */
  append(data: Buffer): void {
    for (let written = 0; written < data.length; ) {
      const count = writeSync(this.descriptor, data, written);
      written += count;
      this.sizeBytes += count;
    }
  }

  truncate(sizeBytes: number): void {
    ftruncateSync(this.descriptor, sizeBytes);
    this.sizeBytes = sizeBytes;
  }

  /** Resolves when everything appended is on the disk. The event loop does not wait. */
  sync(): Promise<void> {
    return fdatasyncAsync(this.descriptor);
  }

  /** Returns when everything appended is on the disk. */
  syncNow(): void {
    fsyncSync(this.descriptor);
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

/** Syncs a directory's new and renamed files to the disk. Systems that cannot sync a directory do so by themselves. */
export function syncDirectory(path: string): void {
  try {
    const directory = openSync(path, "r");
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!["EISDIR", "EPERM", "EACCES", "EINVAL", "ENOTSUP", "EBADF"].includes(code)) throw error;
  }
}

/**
 * Holds `OUTPUT-lock` while a sink is open. Two processes that append to one file would each truncate what the other
 * writes, and would not know the ids that the other stored. It is SQLite's lock on an empty file: the runtimes have no
 * file locks, and unlike a file with a process id this lock ends with its process, however that ends.
 *
 * It is the lock of a process that is about to write (RESERVED), and only the owner may open the file. So programs that
 * only read, such as a backup, neither hold the lock nor block it.
 */
export class OutputLock {
  readonly #db: Database;

  /** @throws {EventStorageError} `LOCKED`: another sink uses the output, in this process or another */
  constructor(outputPath: string) {
    const path = `${outputPath}-lock`;
    this.#db = openLock(path);
    try {
      this.#db.pragma("journal_mode = OFF"); // there is nothing to roll back
      this.#db.exec("BEGIN IMMEDIATE");
    } catch (cause) {
      this.#db.close();
      throw describeLockError(outputPath, path, cause);
    }
  }

  release(): void {
    this.#db.close();
  }
}

function openLock(path: string): Database {
  try {
    createLockFile(path);
    return openDatabase(path, { isReadOnly: false, busyTimeoutMs: 0 });
  } catch (cause) {
    throw describeOpenError(cause, path);
  }
}

function createLockFile(path: string): void {
  const created = createFile(path, DEFAULT_OUTPUT_MODE);
  if (created !== undefined) closeSync(created);
  const found = lstatSync(path);
  if (!found.isFile() || found.size > 0)
    throw new EventStorageError(
      "NOT_A_FILE",
      path,
      `${path} is not an empty file, as a lock must be. Remove it.`,
    );
  if ((found.mode & 0o777) !== DEFAULT_OUTPUT_MODE) chmodSync(path, DEFAULT_OUTPUT_MODE);
}

function describeLockError(outputPath: string, path: string, cause: unknown): EventStorageError {
  const { code = "", message } = cause as NodeJS.ErrnoException;
  if (!code.startsWith("SQLITE_BUSY"))
    return new EventStorageError(code, path, `Cannot lock ${path}: ${message}.`, { cause });
  const problem = `Another collector uses ${outputPath}. Stop it, or choose another output.`;
  return new EventStorageError("LOCKED", outputPath, problem, { cause });
}
