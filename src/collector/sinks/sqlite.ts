import { closeSync, existsSync, fdatasync, openSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { DEFAULT_FSYNC_INTERVAL_MS, DEFAULT_OUTPUT_MODE } from "../../config/collector_defaults.ts";
import { EventStorageError } from "../../errors.ts";
import { checkOption, checkOptions, integerFrom, type OptionKinds, STRING } from "../../options.ts";
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
import { GroupCommitter, type GroupTarget, SYNC_OPTION_KINDS, type SyncOptions } from "./group_commit.ts";
import { createFile, OutputLock } from "./output_file.ts";
import type { AcceptedBatch, Sink, StoreResult } from "./sink.ts";

/** How long the SQLite sink waits for somebody else's write lock, in milliseconds: the event loop stands still. */
const SINK_BUSY_TIMEOUT_MS = 250;

const OPTION_KINDS: OptionKinds<SqliteSinkOptions> = {
  ...SYNC_OPTION_KINDS,
  fileMode: integerFrom(0o600, 0o777),
};

/** `evsc` in ASCII: a database of this sink's. */
const APPLICATION_ID = 0x65767363;

const SCHEMA = `
CREATE TABLE event (
  id             INTEGER PRIMARY KEY, -- in the order in which events were kept
  received_at_ms INTEGER NOT NULL,    -- since 1970
  key_name       TEXT    NOT NULL,    -- of the key that signed the batch
  version        TEXT    NOT NULL,    -- '2': a Thrift struct in JSON; '2j': any JSON
  queue          TEXT,                -- the UUID of the publisher's queue; NULL where it did not say or not sign it
  event_id       INTEGER,             -- the event's id in that queue; NULL where it is not known
  body           TEXT    NOT NULL     -- the event's JSON text, as it was sent
) STRICT;
CREATE TABLE seen_ids (               -- the sink's own: which ids are kept already
  source     TEXT    NOT NULL,        -- whose: the name of a key, or what keys that replace each other share
  queue      TEXT    NOT NULL,
  seen_order INTEGER NOT NULL,        -- ascending in the order in which queues were last heard of
  ids        TEXT    NOT NULL,        -- SOURCE QUEUE_UUID:1-100,105
  PRIMARY KEY (source, queue)
) STRICT;
PRAGMA application_id = ${APPLICATION_ID};
PRAGMA user_version = 1;
`;

/** How large the -wal may become before SQLite moves it into the database, in pages of 4 KiB: 64 MiB, with 8 MiB a group. */
const CHECKPOINT_PAGES = 16_000;

const fdatasyncAsync = promisify(fdatasync);

/** Options of {@link SqliteSink}. */
export interface SqliteSinkOptions extends SyncOptions {
  /** The mode of a database that is made; one that is there keeps its own. Default: 0o600. */
  readonly fileMode?: number | undefined;
}

/**
 * Keeps events in a SQLite database, in table `event`, which others may query meanwhile. Events that were kept before
 * are known by their ids, kept in the same transaction, and dropped. For one collector at a time: `FILE-lock`.
 */
export class SqliteSink implements Sink {
  readonly #path: string;
  readonly #lock: OutputLock;
  readonly #db: Database;
  /** The -wal: what commits are in until a checkpoint. To sync it by ourselves does not hold up the event loop. */
  readonly #wal: number;
  readonly #insert: Statement<SqliteValue[], unknown>;
  readonly #transaction: Transaction;
  readonly #remember: Statement<[string, string, number, string], unknown>;
  readonly #forget: Statement<[string, string], unknown>;
  readonly #loop: GroupCommitter;
  /** Undefined: to be read from the file. */
  #seen: DedupIndex | undefined;
  #seenOrder = 0;
  #closing: Promise<void> | undefined;

  /**
   * Opens or creates the database.
   *
   * @throws {EventStorageError} it cannot be opened, is another program's (`NOT_AN_EVENT_DATABASE`), or another sink has
   * it (`LOCKED`)
   */
  constructor(path: string, options: SqliteSinkOptions = {}) {
    checkOption("path", path, STRING);
    checkOptions(options, OPTION_KINDS);
    this.#path = realPathOf(path); // SQLite names its -wal so
    this.#lock = new OutputLock(this.#path);
    try {
      const made = createFile(this.#path, options.fileMode ?? DEFAULT_OUTPUT_MODE); // SQLite gives its -wal the same mode
      if (made !== undefined) closeSync(made);
      this.#db = openEvents(this.#path);
      this.#wal = openSync(`${this.#path}-wal`, "r+");
    } catch (error) {
      this.#lock.release();
      throw describeError(error, path);
    }
    this.#transaction = new Transaction(this.#db);
    this.#insert = this.#db.prepare(
      "INSERT INTO event (received_at_ms, key_name, version, queue, event_id, body) VALUES (?, ?, ?, ?, ?, CAST(? AS TEXT))",
    );
    this.#remember = this.#db.prepare(
      "INSERT INTO seen_ids (source, queue, seen_order, ids) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET seen_order = excluded.seen_order, ids = excluded.ids",
    );
    this.#forget = this.#db.prepare("DELETE FROM seen_ids WHERE source = ? AND queue = ?");
    this.#loop = new GroupCommitter(this.#target(), {
      fsync: options.fsync ?? "always",
      fsyncIntervalMs: options.fsyncIntervalMs ?? DEFAULT_FSYNC_INTERVAL_MS,
    });
  }

  /**
   * Keeps a batch, all of it or nothing.
   *
   * @throws {EventStorageError} rejects with it when it was not kept, such as `SQLITE_FULL`
   */
  store(batch: AcceptedBatch): Promise<StoreResult> {
    return this.#loop.store(batch);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Closes the sink, as {@link close} does, at the end of the scope of an `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    try {
      await this.#loop.close(new EventStorageError("CLOSED", this.#path, `${this.#path} is closed.`));
    } finally {
      closeSync(this.#wal);
      this.#db.close();
      this.#lock.release();
    }
  }

  #target(): GroupTarget {
    return {
      maintain: () => {},
      write: (group) => this.#write(group),
      sync: () => this.#sync(),
      written: () => {},
      // It is committed; only a restart, which reads the file anew, tells what the disk has.
      undo: () => {
        throw new Error("A commit cannot be taken back.");
      },
    };
  }

  #write(group: readonly AcceptedBatch[]): readonly StoreResult[] {
    try {
      this.#seen ??= this.#load();
      const seen = this.#seen;
      return this.#transaction.run(() => this.#insertAll(group, seen));
    } catch (cause) {
      this.#seen = undefined; // it knows of ids that were not kept
      throw describeError(cause, this.#path);
    }
  }

  #insertAll(group: readonly AcceptedBatch[], seen: DedupIndex): readonly StoreResult[] {
    const nowMs = Date.now();
    const stored = group.map((batch) => this.#insertBatch(batch, seen, nowMs));
    const queues = new Map(
      group.map(({ source, ids }) => [`${source} ${ids?.queue}`, { source, queue: ids?.queue }]),
    );
    for (const { source, queue } of queues.values()) {
      const line = queue && seen.format({ source, queue });
      if (queue && line) this.#remember.run(source, queue, ++this.#seenOrder, line);
    }
    return stored;
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

  async #sync(): Promise<void> {
    try {
      await fdatasyncAsync(this.#wal);
    } catch (cause) {
      throw describeError(cause, this.#path);
    }
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
  const db = openDatabase(path, { isReadOnly: false, busyTimeoutMs: SINK_BUSY_TIMEOUT_MS });
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
  if (!isEmpty && !(isOurs && version === 1)) throw foreign(path);
  db.pragma("journal_mode = WAL");
  // NORMAL with every policy: OFF breaks files when power is cut, and FULL syncs while the event loop waits.
  db.pragma("synchronous = NORMAL");
  db.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  if (isEmpty) inImmediate(db, () => db.exec(SCHEMA));
}

function realPathOf(path: string): string {
  return existsSync(path) ? realpathSync(path) : resolve(path);
}

function foreign(path: string): EventStorageError {
  const problem = `${path} is a database of another program, or of a later version: choose another file.`;
  return new EventStorageError("NOT_AN_EVENT_DATABASE", path, problem);
}

const ADVICE: Readonly<Record<string, string>> = {
  SQLITE_FULL: "Free some space.",
  SQLITE_BUSY: "Somebody else writes to it: end that transaction.",
  SQLITE_NOTADB: "It is no SQLite database: choose another file.",
  SQLITE_CORRUPT: "It is damaged: move it away, so that a new one can be made.",
};

function describeError(error: unknown, path: string): EventStorageError {
  if (error instanceof EventStorageError) return error;
  const { code = "UNKNOWN", message } = error as NodeJS.ErrnoException;
  const advice = ADVICE[code] ?? "See to the disk, and to the owner and mode of file and directory.";
  const problem = `Cannot keep events in ${path} (${code}: ${message}). ${advice}`;
  return new EventStorageError(code, path, problem, { cause: error });
}
