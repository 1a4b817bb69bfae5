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
import { openDatabase } from "../../storage/sqlite/driver.ts";
import type { Database } from "../../storage/sqlite/sqlite.ts";

const fdatasyncAsync = promisify(fdatasync);

/** Makes a file with this mode, whatever the umask; undefined: there is something of that name, a link included. */
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

/** A file that is only ever appended to, or cut off. */
export class AppendFile {
  readonly #file: number;
  #sizeBytes: number;

  /** Opens it as it is, or creates it with a mode. @throws the system's error */
  constructor(path: string, mode: number = DEFAULT_OUTPUT_MODE) {
    this.#file = createFile(path, mode) ?? openSync(path, "a+", mode); // also made where a link points to
    this.#sizeBytes = fstatSync(this.#file).size;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Its descriptor, to read from. */
  get descriptor(): number {
    return this.#file;
  }

  /** Appends data. When it throws, part of it may be there: see {@link cutTo}. */
  append(data: Buffer): void {
    for (let written = 0; written < data.length; ) {
      const count = writeSync(this.#file, data, written);
      written += count;
      this.#sizeBytes += count;
    }
  }

  /** Cuts off what is beyond a size. */
  cutTo(sizeBytes: number): void {
    ftruncateSync(this.#file, sizeBytes);
    this.#sizeBytes = sizeBytes;
  }

  /** Believes a size that somebody else has given it. */
  noteSize(sizeBytes: number): void {
    this.#sizeBytes = sizeBytes;
  }

  /** Resolves when all that was appended is on the disk; the event loop goes on. */
  sync(): Promise<void> {
    return fdatasyncAsync(this.#file);
  }

  /** Returns when all that was appended is on the disk. */
  syncNow(): void {
    fsyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Has a directory's new and renamed files on the disk. Systems that cannot sync directories do it by themselves. */
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
