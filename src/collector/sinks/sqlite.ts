import { closeSync, existsSync, openSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { DEFAULT_OUTPUT_MODE } from "../../config/collector_defaults.ts";
import { EventStorageError } from "../../errors.ts";
import { checkOption, checkOptions, FILE_MODE, type OptionKinds, STRING } from "../../options.ts";
import { openDatabase } from "../../storage/sqlite/driver.ts";
import {
  type Database,
  inImmediate,
  type SqliteValue,
  type Statement,
  Transaction,
} from "../../storage/sqlite/sqlite.ts";
import { eachId } from "../../wire/event_ids.ts";
import { DedupIndex, type SeenEvents } from "./dedup_index.ts";
import { GroupCommitSink, type GroupTarget, SYNC_OPTION_KINDS, type SyncOptions } from "./group_commit.ts";
import { createFile, describeOpenError, fdatasyncAsync, OutputLock } from "./output_file.ts";
import type { AcceptedBatch, StoreResult } from "./sink.ts";

/** How long to wait for another process's write lock, in milliseconds: the event loop waits too. */
const BUSY_TIMEOUT_MS = 250;

const OPTION_KINDS: OptionKinds<SqliteSinkOptions> = {
  ...SYNC_OPTION_KINDS,
  fileMode: FILE_MODE,
};

/** `evsc` in ASCII: marks the database as this sink's. */
const APPLICATION_ID = 0x65767363;

const SCHEMA = `
CREATE TABLE event (
  id             INTEGER PRIMARY KEY, -- in the order in which events were stored
  received_at_ms INTEGER NOT NULL,    -- since 1970
  key_name       TEXT    NOT NULL,    -- of the key that signed the batch
  version        TEXT    NOT NULL,    -- '2': a Thrift struct in JSON; '2j': any JSON
  queue          TEXT,                -- the UUID of the publisher's queue; NULL if the request had no signed ids
  event_id       INTEGER,             -- the event's id in that queue; NULL if the request had none
  body           TEXT    NOT NULL     -- the event's JSON text, as it was sent
) STRICT;
CREATE TABLE seen_ids (               -- internal: the ids of all stored events
  source     TEXT    NOT NULL,        -- the name of a key, or what keys that replace each other share
  queue      TEXT    NOT NULL,
  seen_order INTEGER NOT NULL,        -- ascending: the queue with the latest batch has the highest
  ids        TEXT    NOT NULL,        -- SOURCE QUEUE_UUID:1-100,105
  PRIMARY KEY (source, queue)
) STRICT;
PRAGMA application_id = ${APPLICATION_ID};
PRAGMA user_version = 1;
`;

/** The size of the -wal at which SQLite moves it into the database, in pages of 4 KiB: 64 MiB, eight large groups. */
const CHECKPOINT_PAGES = 16_000;

/** Options of {@link SqliteSink}. */
export interface SqliteSinkOptions extends SyncOptions {
  /** The mode of a new database; an existing one keeps its mode. Default: 0o600. */
  readonly fileMode?: number | undefined;
}

/**
 * Stores events in table `event` of a SQLite database, which other programs may query at the same time. Events that
 * were stored before are recognized by their ids, which are in the same transaction, and dropped. One collector at a
 * time may use the database: see `FILE-lock`.
 */
export class SqliteSink extends GroupCommitSink {
  /**
   * Opens or creates the database.
   *
   * @throws {ConfigurationError} an option is not valid
   * @throws {EventStorageError} the database cannot be opened, belongs to another program (`NOT_AN_EVENT_DATABASE`), or
   * another sink uses it (`LOCKED`)
   */
  constructor(path: string, options: SqliteSinkOptions = {}) {
    checkOption("path", path, STRING);
    const checked = checkOptions(options, OPTION_KINDS);
    super(new SqliteOutput(path, checked.fileMode ?? DEFAULT_OUTPUT_MODE), checked);
  }
}

class SqliteOutput implements GroupTarget {
  readonly path: string;
  readonly #lock: OutputLock;
  readonly #db: Database;
  /** The -wal, which holds commits until a checkpoint. Syncing it here does not block the event loop. */
  readonly #wal: number;
  readonly #insert: Statement<SqliteValue[], unknown>;
  readonly #transaction: Transaction;
  readonly #remember: Statement<[string, string, number, string], unknown>;
  readonly #forget: Statement<[string, string], unknown>;
  /** Undefined: to be read from the file. */
  #seen: DedupIndex | undefined;
  #seenOrder = 0;

  constructor(path: string, mode: number) {
    this.path = existsSync(path) ? realpathSync(path) : resolve(path); // SQLite names the -wal after the real path
    this.#lock = new OutputLock(this.path);
    try {
      const created = createFile(this.path, mode); // SQLite gives the -wal the same mode
      if (created !== undefined) closeSync(created);
      this.#db = openEvents(this.path);
      this.#wal = openSync(`${this.path}-wal`, "r+");
    } catch (error) {
      this.#lock.release();
      throw isSqliteError(error) ? describeError(error, path) : describeOpenError(error, path);
    }
    this.#transaction = new Transaction(this.#db);
    this.#insert = this.#db.prepare(
      "INSERT INTO event (received_at_ms, key_name, version, queue, event_id, body) VALUES (?, ?, ?, ?, ?, CAST(? AS TEXT))",
    );
    this.#remember = this.#db.prepare(
      "INSERT INTO seen_ids (source, queue, seen_order, ids) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET seen_order = excluded.seen_order, ids = excluded.ids",
    );
    this.#forget = this.#db.prepare("DELETE FROM seen_ids WHERE source = ? AND queue = ?");
  }

  write(group: readonly AcceptedBatch[]): readonly StoreResult[] {
    try {
      this.#seen ??= this.#load();
      const seen = this.#seen;
      return this.#transaction.run(() => this.#insertAll(group, seen));
    } catch (cause) {
      this.#seen = undefined; // it holds ids that were not stored
      throw describeError(cause, this.path);
    }
  }

  async sync(): Promise<void> {
    try {
      await fdatasyncAsync(this.#wal);
    } catch (cause) {
      throw describeError(cause, this.path);
    }
  }

  maintain(): void {}

  onCommit(): void {}

  /** The group is committed. Only a restart, which reads the file again, shows what the disk has. */
  undo(): void {
    throw new Error("A commit cannot be undone.");
  }

  close(): void {
    closeSync(this.#wal);
    this.#db.close();
    this.#lock.release();
  }

  #insertAll(group: readonly AcceptedBatch[], seen: DedupIndex): readonly StoreResult[] {
    const nowMs = Date.now();
    const results = group.map((batch) => this.#insertBatch(batch, seen, nowMs));
    const queues = new Map(
      group.map(({ source, ids }) => [`${source} ${ids?.queue}`, { source, queue: ids?.queue }]),
    );
    for (const { source, queue } of queues.values()) {
      const line = queue && seen.format({ source, queue });
      if (queue && line) this.#remember.run(source, queue, ++this.#seenOrder, line);
    }
    return results;
  }

  #insertBatch(batch: AcceptedBatch, seen: DedupIndex, nowMs: number): StoreResult {
    const { events, source, ids, keyName, version } = batch;
    const found: SeenEvents | undefined = ids && seen.find(source, ids, events.count);
    const eventIds = ids?.count === events.count ? [...eachId(ids.ranges)] : undefined;
    for (let index = 0; index < events.count; index++) {
      if (found?.has(index)) continue;
      const eventId = eventIds?.[index] ?? null;
      this.#insert.run(nowMs, keyName, version, ids?.queue ?? null, eventId, events.bytes(index));
    }
    if (ids !== undefined) seen.add(source, ids, events.count);
    const duplicates = found?.count ?? 0;
    return { stored: events.count - duplicates, duplicates };
  }

  #load(): DedupIndex {
    const seen = new DedupIndex({}, ({ source, queue }) => this.#forget.run(source, queue));
    const lines = this.#db.prepareFirst<[], string>("SELECT ids FROM seen_ids ORDER BY seen_order");
    for (const line of lines.all()) seen.restore(line);
    const last = this.#db.prepareFirst<[], number>("SELECT coalesce(max(seen_order), 0) FROM seen_ids");
    this.#seenOrder = last.get()!;
    return seen;
  }
}

function openEvents(path: string): Database {
  const db = openDatabase(path, { isReadOnly: false, busyTimeoutMs: BUSY_TIMEOUT_MS });
  try {
    prepareDatabase(db, path);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function prepareDatabase(db: Database, path: string): void {
  const version = db.pragma("user_version");
  const isOurs = db.pragma("application_id") === APPLICATION_ID;
  const isEmpty = db.prepareFirst("SELECT count(*) FROM sqlite_schema").get() === 0;
  if (!isEmpty && !(isOurs && version === 1)) throw foreignDatabase(path);
  db.pragma("journal_mode = WAL");
  // NORMAL with every policy: with OFF a power cut corrupts the file, and FULL syncs while the event loop waits.
  db.pragma("synchronous = NORMAL");
  db.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  if (isEmpty) inImmediate(db, () => db.exec(SCHEMA));
}

function foreignDatabase(path: string): EventStorageError {
  const problem = `${path} is a database of another program, or of a later version of this one. Choose another file.`;
  return new EventStorageError("NOT_AN_EVENT_DATABASE", path, problem);
}

const ADVICE: Readonly<Record<string, string>> = {
  SQLITE_FULL: "Free some space.",
  SQLITE_BUSY: "Another process holds the write lock: end its transaction.",
  SQLITE_NOTADB: "It is not a SQLite database: choose another file.",
  SQLITE_CORRUPT: "It is damaged: move it away, and a new one is created.",
};

function isSqliteError(error: unknown): boolean {
  return String((error as NodeJS.ErrnoException).code).startsWith("SQLITE_");
}

function describeError(error: unknown, path: string): EventStorageError {
  if (error instanceof EventStorageError) return error;
  const { code = "UNKNOWN", message } = error as NodeJS.ErrnoException;
  const advice = ADVICE[code] ?? "Check the disk, and the owner and mode of the file and its directory.";
  const problem = `Cannot store events in ${path}: ${message} (${code}). ${advice}`;
  return new EventStorageError(code, path, problem, { cause: error });
}
