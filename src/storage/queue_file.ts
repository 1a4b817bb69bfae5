/** One queue file, open: the connection, its pragmas, its schema and its lock. */
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { EventStorageError } from "../errors.ts";
import { rejectNetworkFileSystem } from "./file_system.ts";
import { noteLocation } from "./identity.ts";
import { realPath, rejectSeveralNames, removeAbandoned, temporaryPathFor } from "./locations.ts";
import { DEFAULT_BUSY_TIMEOUT_MS, isBusy, LockWait, retryWhileBusy } from "./lock_wait.ts";
import { prepareSchema, rejectOlderSchema, schemaVersion } from "./schema.ts";
import { loadDriver, openDatabase } from "./sqlite/driver.ts";
import { type Database, inDeferred, inImmediate, type Statement, Transaction } from "./sqlite/sqlite.ts";
import { sqliteCodeOf, toStorageError } from "./storage_error.ts";
import { rejectOtherJournal } from "./user_connection.ts";

/** The mode of a new queue file: only its owner can read the events. */
export const DEFAULT_FILE_MODE = 0o600;

/** The `application_id` of a queue's own file: "evsp". */
export const APPLICATION_ID = 0x65767370;

/** How long opening waits for others that open, migrate or recover the same file, in milliseconds. */
export const OPEN_TIMEOUT_MS = 5_000;

/** How often {@link QueueFile.checkPlace} checks, in milliseconds: a check costs 2 us. */
const PLACE_CHECK_MS = 1_000;

/** A write that changes nothing. */
const NO_WRITE = "DELETE FROM eventspool_dead_letter WHERE 0";

/** How a queue file is opened. */
export interface QueueFileOptions {
  /** A producer leaves checkpoints to the publisher. Default: `producer`. */
  readonly role?: "producer" | "publisher";
  /** `process`: commits survive the death of any process; `power`: also a power cut, for an fsync a commit. Default: `process`. */
  readonly durability?: "process" | "power";
  /** How long a write waits for the lock, in milliseconds. Default: {@link DEFAULT_BUSY_TIMEOUT_MS}. */
  readonly busyTimeoutMs?: number;
  /** The mode of a new file, such as 0o600. */
  readonly fileMode?: number;
  /** Whether the file may be on a network file system. Default: false. */
  readonly allowNetworkFileSystem?: boolean;
}

/** How the outbox in a service's database is opened. */
export interface OutboxOptions {
  /** How long a write waits for the lock, in milliseconds. Default: {@link DEFAULT_BUSY_TIMEOUT_MS}. */
  readonly busyTimeoutMs?: number;
  /** Whether to open it for reading only. Default: false. */
  readonly isReadOnly?: boolean;
}

type OpenedOptions = Pick<QueueFileOptions, "busyTimeoutMs" | "durability"> & {
  readonly isOutbox?: boolean;
  readonly hasMoved?: boolean;
};

/** An open queue file. Everything else in this folder works on one. */
export class QueueFile {
  /** The absolute path of the `.db` file, with links resolved: SQLite has its -wal there. */
  readonly path: string;
  /** Prepares a statement, once. It goes through {@link run} or {@link transaction}. */
  readonly prepare: Database["prepare"];
  /** As {@link prepare}, for a statement that returns only its first column. */
  readonly prepareFirst: Database["prepareFirst"];
  /** The connection, for statements without a table. */
  readonly db: Database;
  /** Whether it was moved, copied or restored since it was last open: opening it has begun a new epoch. */
  readonly hasMoved: boolean;
  /** Whether a commit waits until it is on the disk: durability `power`. */
  readonly syncsCommits: boolean;
  /** Whether the file is a service's database, of which only the tables of the outbox are ours. */
  readonly isOutbox: boolean;
  /** Readers and writers wait for different locks: a reader that succeeds says nothing about the write lock. */
  readonly #readLock: LockWait;
  readonly #writeLock: LockWait;
  readonly #touch: Statement<[], unknown>;
  readonly #givenPath: string;
  readonly #inode: number | undefined;
  /** Undefined until there is one: SQLite makes it with the first write, and keeps it while we are connected. */
  #walInode: number | undefined;
  #placeCheckedAtMs = Number.NEGATIVE_INFINITY;
  readonly #transaction: Transaction;

  /**
   * Opens the file, and creates or migrates it first if needed; several processes may do so at once.
   *
   * @throws {EventStorageError} the file is not a queue, is from a newer eventspool, is damaged, is on a network file
   * system, or cannot be used
   */
  static open(path: string, options: QueueFileOptions = {}): QueueFile {
    let db: Database | undefined;
    try {
      if (!options.allowNetworkFileSystem) rejectNetworkFileSystem(path);
      loadDriver(path); // before a temporary file is made, which its error would name
      makeFile(path, options.fileMode ?? DEFAULT_FILE_MODE);
      rejectNoFile(path);
      rejectSeveralNames(path);
      db = openDatabase(path, { isReadOnly: false, busyTimeoutMs: OPEN_TIMEOUT_MS });
      prepareFile(db);
      const hasMoved = noteLocationOf(db, path);
      setPragmas(db, options);
      rejectReadOnly(db);
      return new QueueFile(path, db, { ...options, hasMoved });
    } catch (error) {
      db?.close();
      throw toStorageError(error, path);
    }
  }

  /**
   * Opens an existing file for reading, and changes nothing in it, not even its version.
   *
   * @param busyTimeoutMs how long to wait for others that open or recover it, in milliseconds
   * @throws {EventStorageError} as {@link open}; also for a file that is empty or of an older version
   */
  static openReadOnly(path: string, busyTimeoutMs: number = OPEN_TIMEOUT_MS): QueueFile {
    let db: Database | undefined;
    try {
      rejectNoFile(path);
      db = openDatabase(path, { isReadOnly: true, busyTimeoutMs });
      rejectForeign(db);
      rejectOlderSchema(db, path);
      return new QueueFile(path, db, { busyTimeoutMs });
    } catch (error) {
      db?.close();
      throw toStorageError(error, path);
    }
  }

  /**
   * Opens the outbox in a service's database, for a publisher or for reading. The file belongs to the service:
   * only the outbox's own rows are changed in it, neither its journal mode nor its mode, and it is never created.
   *
   * @throws {EventStorageError} the file does not exist, has no outbox, or cannot be used
   */
  static openOutbox(path: string, { isReadOnly = false, ...options }: OutboxOptions = {}): QueueFile {
    let db: Database | undefined;
    try {
      db = openOutboxFile(path, { isReadOnly });
      const hasMoved = !isReadOnly && noteLocationOf(db, path);
      setOutboxPragmas(db);
      if (!isReadOnly) rejectReadOnly(db);
      return new QueueFile(path, db, { ...options, isOutbox: true, hasMoved });
    } catch (error) {
      db?.close();
      throw toStorageError(error, path);
    }
  }

  private constructor(path: string, db: Database, options: OpenedOptions) {
    const { busyTimeoutMs = DEFAULT_BUSY_TIMEOUT_MS, isOutbox = false, hasMoved = false } = options;
    this.path = isLink(path) ? (realPath(path) ?? path) : path;
    this.#givenPath = path;
    this.db = db;
    this.isOutbox = isOutbox;
    this.hasMoved = hasMoved;
    this.prepare = db.prepare.bind(db);
    this.prepareFirst = db.prepareFirst.bind(db);
    this.syncsCommits = options.durability === "power";
    this.#readLock = new LockWait(busyTimeoutMs);
    this.#writeLock = new LockWait(busyTimeoutMs);
    this.#inode = inodeOf(path);
    this.#transaction = new Transaction(db);
    this.#touch = this.prepare("UPDATE eventspool_queue SET max_events = max_events");
  }

  /** Runs one statement that only reads. It waits if another process has locked out readers. @throws {EventStorageError} */
  run<T>(statement: () => T): T {
    try {
      return this.#readLock.run(statement);
    } catch (error) {
      throw toStorageError(error, this.path, this.#readLock.busyForMs);
    }
  }

  /**
   * Runs one statement that writes, waiting for the write lock.
   *
   * @param busyTimeoutMs how long, if less than the file's own timeout; 0: not at all @throws {EventStorageError}
   */
  write<T>(statement: () => T, busyTimeoutMs?: number): T {
    try {
      return this.#writeLock.run(statement, busyTimeoutMs);
    } catch (error) {
      throw toStorageError(error, this.path, this.#writeLock.busyForMs);
    }
  }

  /** Runs `work` in one `BEGIN IMMEDIATE` transaction; whatever it throws rolls back. @throws {EventStorageError} */
  transaction<T>(work: () => T, busyTimeoutMs?: number): T {
    return this.write(() => this.#transaction.run(work), busyTimeoutMs);
  }

  /** As {@link transaction}, but never waits for the disk: a power cut may take it until a {@link SharedSync} has ended. */
  transactionToSync<T>(work: () => T, busyTimeoutMs?: number): T {
    if (!this.syncsCommits) return this.transaction(work, busyTimeoutMs);
    this.db.exec("PRAGMA synchronous = NORMAL"); // and back: 1.4 us, and a sync is 200
    try {
      return this.transaction(work, busyTimeoutMs);
    } finally {
      this.db.exec("PRAGMA synchronous = FULL");
    }
  }

  /**
   * Checks, once a second at most, that the path and its -wal still lead to these files. SQLite continues to write
   * to a file that was removed, and events that are put there are lost. Returns whether it has checked.
   *
   * @throws {EventStorageError} `MOVED`: it does not
   */
  checkPlace(): boolean {
    const nowMs = performance.now();
    if (nowMs - this.#placeCheckedAtMs < PLACE_CHECK_MS) return false;
    const wal = `${this.path}-wal`;
    this.#walInode ??= inodeOf(wal);
    for (const [path, inode] of [
      [this.#givenPath, this.#inode],
      [wal, this.#walInode],
    ] as const) {
      if (inodeOf(path) === inode) continue;
      const problem = `The queue file ${path} was removed or replaced while it was open: restart every process that uses it.`;
      throw new EventStorageError("MOVED", this.path, problem);
    }
    this.#placeCheckedAtMs = nowMs;
    return true;
  }

  /** How large the .db and its -wal are, in bytes; 0: it is not there. */
  sizes(): { dbBytes: number; walBytes: number } {
    const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    return { dbBytes: sizeOf(this.path), walBytes: sizeOf(`${this.path}-wal`) };
  }

  /** Writes without changing anything. @throws {EventStorageError} it cannot be written, for example on a full disk */
  checkWritable(): void {
    this.transaction(() => this.#touch.run());
  }

  /** Closes the connection. A second call does nothing. */
  close(): void {
    this.db.close();
  }

  /** Closes the connection at the end of the scope of a `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Before SQLite opens it, since that would remove the -wal of an empty file, and wait at a pipe. */
function rejectNoFile(path: string): void {
  const file = statSync(path, { throwIfNoEntry: false });
  if (file === undefined) return; // SQLite reports why
  if (!file.isFile()) {
    const problem = `The queue file ${path} is not a regular file: move it away, or name another queue.`;
    throw new EventStorageError("NOT_A_QUEUE", path, problem);
  }
  if (file.size === 0) throw emptyFile(path);
}

/** Upgrades the tables where needed; several processes may do so at once. */
function prepareFile(db: Database): void {
  // In a transaction, so that what is read is from before or after another process upgraded it, not both.
  retryWhileBusy(() => inDeferred(db, () => rejectForeign(db)), OPEN_TIMEOUT_MS);
  // Readers and a writer side by side need WAL, and it can only be set outside of a transaction. The file
  // keeps it, but a copy by VACUUM INTO does not.
  retryWhileBusy(() => db.pragma("journal_mode = WAL"), OPEN_TIMEOUT_MS);
  retryWhileBusy(() => prepareSchema(db, db.name), OPEN_TIMEOUT_MS);
}

function noteLocationOf(db: Database, path: string): boolean {
  return retryWhileBusy(() => noteLocation(db, path), OPEN_TIMEOUT_MS);
}

/** @throws {EventStorageError} `EMPTY`; `NOT_A_QUEUE`: another program's database */
function rejectForeign(db: Database): void {
  if (db.pragma("application_id") === APPLICATION_ID) return;
  if (db.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() === undefined) throw emptyFile(db.name);
  const problem = `The file ${db.name} is not a queue file: it is another program's SQLite database. Move it away, or name another queue.`;
  throw new EventStorageError("NOT_A_QUEUE", db.name, problem);
}

/** A queue's file is never empty, so this one was truncated, and a new queue in it would hide that. */
function emptyFile(path: string): EventStorageError {
  const problem = `The queue file ${path} is empty: it was truncated, and its events are lost. Restore a copy, or remove it with its -wal and -shm to begin a new queue.`;
  return new EventStorageError("EMPTY", path, problem);
}

/**
 * SQLite silently opens a file that this process may not write as read-only, until it is opened again: every put would
 * fail, even after the file's mode is corrected.
 */
function rejectReadOnly(db: Database): void {
  try {
    db.exec(NO_WRITE);
  } catch (error) {
    if (!isBusy(error)) throw error; // waiting for the lock means that it may write
  }
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch {
    return undefined; // removed, or not readable
  }
}

/**
 * Creates a queue's file, unless there is one. It is created under another name and then linked to its own, so that no
 * process ever sees half of it: an empty file is not a new queue, but one that lost its events. It is never readable
 * by others, either; SQLite would create it so. The -wal and -shm get its mode from SQLite.
 *
 * @param mode such as 0o600, whatever the umask
 * @throws SQLite's error, such as of a full disk
 */
export function makeFile(path: string, mode: number): void {
  if (existsSync(path)) return;
  removeAbandoned(path);
  const temporary = temporaryPathFor(path);
  try {
    closeSync(openSync(temporary, "wx", 0o600));
    fill(temporary);
    chmodSync(temporary, mode); // the umask may have removed permissions
    moveTo(path, temporary);
  } catch (error) {
    // Another process was first, or no file can be made here: then SQLite says so when it opens it.
    if (error instanceof EventStorageError || sqliteCodeOf(error) !== undefined) throw error;
  } finally {
    removeQuietly(temporary);
  }
}

/** On a read-only disk there is nothing to remove, and the attempt is an error. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // SQLite reports what is wrong with the directory
  }
}

function fill(path: string): void {
  const db = openDatabase(path, { isReadOnly: false, busyTimeoutMs: OPEN_TIMEOUT_MS });
  try {
    inImmediate(db, () => {
      db.pragma(`application_id = ${APPLICATION_ID}`);
      prepareSchema(db, path);
      noteLocation(db, path); // that of its inode, which it keeps under its own name
    });
    db.pragma("journal_mode = WAL"); // the file keeps it
  } finally {
    db.close();
  }
}

/** Links, because a rename would replace a file that another process has created since. */
function moveTo(path: string, temporary: string): void {
  try {
    linkSync(temporary, path);
  } catch (error) {
    // Some file systems have no links.
    if ((error as NodeJS.ErrnoException).code === "EEXIST" || existsSync(path)) return;
    renameSync(temporary, path);
  }
}

/**
 * Checkpoints are the publisher's work, so that no put pays for one. This many WAL pages (64 MB) are
 * the net for a service that lives without a publisher.
 */
const PRODUCER_AUTOCHECKPOINT_PAGES = 16_000;

/** The cache of pages, in KiB. A queue is used at its ends: with better-sqlite3's 16 MB a drain is no faster. */
const CACHE_KIB = 2_000;

/** On a connection to a queue's own file. */
function setPragmas(db: Database, { role = "producer", durability }: QueueFileOptions): void {
  // After journal_mode: on its own, SQLite may choose another level for WAL.
  db.pragma(`synchronous = ${durability === "power" ? "FULL" : "NORMAL"}`);
  db.pragma(`wal_autocheckpoint = ${role === "producer" ? PRODUCER_AUTOCHECKPOINT_PAGES : 0}`);
  db.pragma(`cache_size = -${CACHE_KIB}`);
  db.pragma("busy_timeout = 0"); // from here on lock_wait.ts waits
}

/**
 * On our own connection only. Checkpoints of a service's database are left to SQLite, at its 1,000 pages: those
 * that wait for readers or lock writers out are not ours to make. It is the service's `synchronous` that counts:
 * what we commit are claims and acks, and losing one brings a duplicate, not a loss.
 */
function setOutboxPragmas(db: Database): void {
  db.pragma("synchronous = NORMAL");
  db.pragma(`cache_size = -${CACHE_KIB}`);
  db.pragma("busy_timeout = 0"); // from here on lock_wait.ts waits
}

/**
 * Opens the database; the caller closes it, and sets what pragmas it likes on its own connection.
 *
 * @throws {EventStorageError} the file does not exist, has no outbox, or is not in WAL mode; or SQLite's error
 */
function openOutboxFile(path: string, { isReadOnly }: { isReadOnly: boolean }): Database {
  rejectNoDatabase(path);
  const db = openDatabase(path, { isReadOnly, busyTimeoutMs: OPEN_TIMEOUT_MS });
  try {
    retryWhileBusy(() => rejectNoOutbox(db, path), OPEN_TIMEOUT_MS);
    rejectOtherJournal(db, path);
    if (isReadOnly) rejectOlderSchema(db, path);
    else prepareSchema(db, path);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** A database that does not exist is not created here: the service creates it, with its own tables. */
function rejectNoDatabase(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isFile()) return;
  const problem = `The database ${path} does not exist or is not a file: name the service's (queue.file, --file), and start the service first, which creates it.`;
  throw new EventStorageError("ENOENT", path, problem);
}

function rejectNoOutbox(db: Database, path: string): void {
  const isQueue = db.pragma("application_id") === APPLICATION_ID;
  if (!isQueue && schemaVersion(db) !== undefined) return;
  const problem = isQueue
    ? `The file ${path} is a queue's own file, not a service's database: name its directory and its queue (queue.directory, --directory, --queue-name) instead.`
    : `The database ${path} has no outbox: start the service first, which creates it (new Outbox(db, ...)), or name another file.`;
  throw new EventStorageError("NOT_A_QUEUE", path, problem);
}
