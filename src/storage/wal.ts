/**
 * The -wal: checkpoints, which move its pages into the database, syncs, which bound what a power cut can take, and a
 * watcher, which notices a put of another process. Checkpoints are the publisher's work, so that no put ever pays for one.
 */
import { closeSync, existsSync, type FSWatcher, fdatasync, openSync, watch } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { EventStorageError } from "../errors.ts";
import { isNearlyFull } from "./disk_space.ts";
import type { EventTable } from "./events.ts";
import { isBusy } from "./lock_wait.ts";
import type { QueueFile } from "./queue_file.ts";
import type { Statement } from "./sqlite/sqlite.ts";
import { toStorageError } from "./storage_error.ts";

/** One frame of the WAL: a page and its header, in bytes. */
const FRAME_BYTES = 4_096 + 24;

/** From this size on, what can be moved is moved. A WAL that is moved completely is written from its start again. */
const PASSIVE_FRAMES = Math.ceil(8_000_000 / FRAME_BYTES);

/**
 * How long to wait until the next try, in milliseconds, if a put came in between, so that the WAL did not start again. A
 * try syncs: one with each call took a third of a publisher's time at 1,000 puts/s.
 */
const PASSIVE_EVERY_MS = 100;

/** From this size on it waits for readers, since only then can the WAL start again. That blocks puts, so the wait is short. */
const RESTART_FRAMES = Math.ceil(32_000_000 / FRAME_BYTES);
const RESTART_TIMEOUT_MS = 30;

/** On a disk that is nearly full, each call moves everything from this size on. */
const LOW_DISK_FRAMES = 16;

/** How often the free space is checked, in milliseconds: a check costs 40 us, which for every batch is 4 % of a drain. */
const LOW_DISK_CHECK_MS = 100;

/** An idle queue's WAL is cut to nothing from this size on, in bytes. */
const IDLE_BYTES = 1_048_576;

type Mode = "NOOP" | "PASSIVE" | "RESTART" | "TRUNCATE";

/** Keeps the WAL of one queue file bounded. */
export class Checkpoints {
  readonly #file: QueueFile;
  /** By mode. To prepare one each time costs 25 us, and they run with every batch. */
  readonly #statements: Readonly<Record<Mode, Statement<[], { log: number }>>>;
  readonly #hasNoop: boolean;
  #moveAtMs = 0;
  #isLow = false;
  #lookAtDiskAtMs = 0;

  /** @param hasNoop whether SQLite reports the WAL's length without a checkpoint: older ones treat NOOP as PASSIVE */
  constructor(file: QueueFile, hasNoop: boolean = hasNoopCheckpoint(file)) {
    this.#file = file;
    this.#hasNoop = hasNoop;
    const prepare = (mode: Mode) => file.db.prepare<[], { log: number }>(`PRAGMA wal_checkpoint(${mode})`);
    this.#statements = {
      NOOP: prepare("NOOP"),
      PASSIVE: prepare("PASSIVE"),
      RESTART: prepare("RESTART"),
      TRUNCATE: prepare("TRUNCATE"),
    };
  }

  /** Whether the disk was nearly full when it was checked last. */
  get isDiskLow(): boolean {
    return this.#isLow;
  }

  /**
   * Call it when leases are settled: 20 us unless there is something to move. On a disk that is nearly
   * full it moves everything at once, while there is room for it.
   */
  keepUp(): void {
    const frames = this.#hasNoop ? this.#run("NOOP") : this.#walBytes() / FRAME_BYTES;
    if (frames < PASSIVE_FRAMES) this.#moveAtMs = 0;
    if (frames < LOW_DISK_FRAMES) return;
    if (this.#diskIsLow()) this.truncateWal();
    else if (frames >= PASSIVE_FRAMES && performance.now() >= this.#moveAtMs) this.#moveMost();
  }

  /** Call it when the queue is idle: it frees the WAL's space. Never under load: a reused WAL makes a put 1.2 x faster. */
  onIdle(): void {
    // By the size of the file: after the WAL has started again, few frames are in use (the file had 44 MB).
    if (this.#walBytes() >= IDLE_BYTES) this.truncateWal();
  }

  /** Call it when the disk is full: it frees as much of the WAL's space as possible. */
  truncateWal(): void {
    this.#run("PASSIVE");
    this.#run("TRUNCATE");
  }

  #walBytes(): number {
    return this.#file.sizes().walBytes;
  }

  #diskIsLow(): boolean {
    const nowMs = performance.now();
    if (nowMs < this.#lookAtDiskAtMs) return this.#isLow;
    this.#isLow = isNearlyFull(dirname(this.#file.path));
    this.#lookAtDiskAtMs = nowMs + (this.#isLow ? 0 : LOW_DISK_CHECK_MS);
    return this.#isLow;
  }

  #moveMost(): void {
    // Most of it beside the puts, which RESTART locks out: 50 MB of it made a put wait 130 to 170 ms, now 35 to 65.
    if (this.#run("PASSIVE") >= RESTART_FRAMES) {
      this.#run("PASSIVE"); // what was put during the first
      this.#restart();
    }
    // Without NOOP it is not known whether the WAL has started again.
    if (this.#hasNoop) this.#moveAtMs = performance.now() + PASSIVE_EVERY_MS;
  }

  #restart(): void {
    this.#file.db.pragma(`busy_timeout = ${RESTART_TIMEOUT_MS}`);
    try {
      this.#run("RESTART");
    } finally {
      this.#file.db.pragma("busy_timeout = 0");
    }
  }

  /** Returns the WAL's length in frames. A checkpoint that finds another connection in the way is done later. */
  #run(mode: Mode): number {
    try {
      return this.#statements[mode].get()?.log ?? 0;
    } catch (error) {
      if (isBusy(error)) return 0;
      throw toStorageError(error, this.#file.path);
    }
  }
}

/** Since SQLite 3.51. The SQLite that is built into Node 22 and 24 and older versions of Bun and Deno may be older. */
function hasNoopCheckpoint(file: QueueFile): boolean {
  const version = file.prepareFirst<[], string>("SELECT sqlite_version()").get() as string;
  return version.localeCompare("3.51", "en", { numeric: true }) >= 0;
}

const PAGE_BYTES = 4_096;

/** A file with fewer free bytes is not compacted: the next load would only make it grow again. */
const MIN_FREE_BYTES = 4_194_304;

/** A file with more data, in bytes, is not compacted: the copy blocks puts for about 5 ms a MiB, 90 ms at worst. */
const MAX_LIVE_BYTES = 16_777_216;

/**
 * Shrinks a queue file of which most is empty, such as after a large backlog was delivered. SQLite reuses empty pages,
 * but never frees them by itself. Call it when the queue is idle; ids and data stay. Returns whether it did.
 *
 * @throws {EventStorageError} the file cannot be written
 */
export function compact(file: QueueFile): boolean {
  const { db } = file;
  const pages = db.pragma("page_count") as number;
  const freePages = db.pragma("freelist_count") as number;
  const freeBytes = freePages * PAGE_BYTES;
  const liveBytes = (pages - freePages) * PAGE_BYTES;
  if (freeBytes < MIN_FREE_BYTES || freeBytes < liveBytes || liveBytes > MAX_LIVE_BYTES) return false;
  try {
    db.pragma("temp_store = MEMORY"); // the copy is small, and /tmp may be anywhere
    db.exec("VACUUM");
    db.pragma("wal_checkpoint(TRUNCATE)"); // only now is the file smaller
    return true;
  } catch (error) {
    if (isBusy(error)) return false; // not idle, then
    throw toStorageError(error, file.path);
  }
}

/** How often commits are synced to the disk, in milliseconds. */
const SYNC_EVERY_MS = 100;

/** Options of {@link syncWal}. */
export interface WalSyncOptions {
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Is called after each sync. */
  readonly onSync?: () => void;
  /** Resolves when another process may have written. Default: it is checked ten times a second. */
  readonly written?: () => Promise<void> | undefined;
}

/**
 * Syncs a queue file's -wal shortly after others have committed to it, until `signal` aborts. Without
 * it a power cut or a crash of the operating system takes all puts since the last checkpoint, with it
 * those of the last {@link SYNC_EVERY_MS} or so; puts wait for it in neither case. The -wal is safe to
 * open beside SQLite; the `.db` and -shm are not: closing them would drop SQLite's POSIX locks.
 * Rejects when the disk fails.
 */
export async function syncWal(file: QueueFile, { signal, onSync, written }: WalSyncOptions): Promise<void> {
  // Changes when another connection has committed, and costs 2 us to look at. What this process
  // commits itself are acks: losing one brings a duplicate, not a loss.
  const dataVersion = file.db.prepareFirst<[], number>("PRAGMA data_version");
  await using wal = await openWal(file.path);
  let syncedVersion: number | undefined; // what was committed before is synced first
  while (!signal.aborted) {
    const version = dataVersion.get();
    if (version !== syncedVersion) {
      await wal.datasync();
      syncedVersion = version;
      onSync?.();
    }
    await written?.();
    await sleep(SYNC_EVERY_MS, undefined, { signal, ref: false }).catch(() => {});
  }
}

/** Opens the -wal of a queue file, to sync it. @throws {EventStorageError} */
async function openWal(path: string): Promise<FileHandle> {
  try {
    return await open(`${path}-wal`, "r+");
  } catch (cause) {
    throw syncError(path, cause);
  }
}

/** The error for a -wal that cannot be opened or synced. */
function syncError(path: string, cause: unknown): EventStorageError {
  const { code = "UNKNOWN" } = cause as NodeJS.ErrnoException;
  const problem = `The queue file ${path}-wal cannot be synced to the disk (${code}): if it was removed, restart every process that uses it.`;
  return new EventStorageError(code, path, problem, { cause });
}

/**
 * Makes events survive a power cut before they are sent. If the disk lost an event that a collector has, another event
 * would get its id, and the collector would drop that one as a duplicate. Events that were put before the last sync cost
 * nothing: there is at most one sync for each request, and none while a backlog is drained.
 */
export class DurableEvents {
  readonly #events: Pick<EventTable, "counters">;
  readonly #sync: SharedSync;
  #durableId = 0;

  /** @param path the queue file */
  constructor(path: string, events: Pick<EventTable, "counters">) {
    this.#events = events;
    this.#sync = new SharedSync(path);
  }

  /** Resolves when the event with this id, and all before it, survive a power cut. @throws {EventStorageError} as a rejection */
  async reach(id: number): Promise<void> {
    if (id <= this.#durableId) return;
    const { newestId } = this.#events.counters(); // committed before the sync begins, and so included
    await this.#sync.sync();
    this.#durableId = Math.max(this.#durableId, newestId);
  }

  /** Closes the -wal once the sync in flight has ended. */
  async close(): Promise<void> {
    await this.#sync.close();
  }
}

const datasync = promisify(fdatasync);

/** Syncs a queue file's -wal for many callers: calls during a sync share the next one. */
export class SharedSync {
  readonly #path: string;
  #wal: number | undefined;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  /** @param path the queue file */
  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Resolves when all that was committed before this call survives a power cut.
   *
   * @throws {EventStorageError} as a rejection
   */
  async sync(): Promise<void> {
    try {
      // Before the first await: a process that closes the queue now may remove the -wal, as SQLite does.
      this.#wal ??= openSync(`${this.#path}-wal`, "r+");
      this.#next ??= this.#syncAfter(this.#running, this.#wal);
      await this.#next;
    } catch (cause) {
      throw syncError(this.#path, cause);
    }
  }

  /** Closes the -wal once the sync in flight has ended. */
  async close(): Promise<void> {
    await (this.#next ?? this.#running).catch(() => {});
    if (this.#wal !== undefined) closeSync(this.#wal);
    this.#wal = undefined;
  }

  async #syncAfter(running: Promise<void>, wal: number): Promise<void> {
    await running.catch(() => {}); // its own callers get the error
    this.#running = this.#next as Promise<void>;
    this.#next = undefined; // what is committed from here on may come too late for this sync
    await datasync(wal);
  }
}

/**
 * Watches a queue file's -wal, which every commit writes to. A watch costs each put 4 us, so it is
 * armed only while the queue is idle; then it wakes the publisher in 0.3 ms (Bun) to 0.7 ms (Deno).
 */
export class WalWatcher {
  readonly #walPath: string;
  readonly #onWrite: () => void;
  #watcher: FSWatcher | undefined;
  #writtenAtMs = Number.NEGATIVE_INFINITY;

  /** @param path the queue file @param onWrite called on each write to its -wal while armed */
  constructor(path: string, onWrite: () => void) {
    this.#walPath = `${path}-wal`;
    this.#onWrite = onWrite;
  }

  /** Whether it watches. */
  get isArmed(): boolean {
    return this.#watcher !== undefined;
  }

  /** Starts watching. True: it was not armed before, so look for events once more: one may have come first. */
  arm(): boolean {
    // Without a -wal, or an inotify watch left, the caller's poll finds the events. Looked at first, since
    // Deno reports a missing file only later.
    if (this.#watcher !== undefined || !existsSync(this.#walPath)) return false;
    try {
      // A write from before it was closed may be reported after that.
      const watcher = watch(this.#walPath, { persistent: false }, () => {
        if (this.#watcher === watcher) this.#written();
      });
      this.#watcher = watcher;
    } catch {
      return false;
    }
    this.#watcher.on("error", () => this.disarm());
    return true;
  }

  /** Stops watching. */
  disarm(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  /**
   * How long ago the -wal was written, in milliseconds; Infinity: not yet. A commit can be seen only
   * some time after its write: usually microseconds, but the first put after a checkpoint syncs in
   * between, and a busy machine may halt it there (8 of 100 puts, when it was tried). So who wakes up
   * and finds nothing looks again, and again after as long as it has waited already.
   */
  quietForMs(): number {
    return performance.now() - this.#writtenAtMs;
  }

  #written(): void {
    this.#writtenAtMs = performance.now();
    this.#onWrite();
  }
}
