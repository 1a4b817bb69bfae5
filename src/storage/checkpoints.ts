/**
 * Checkpoints: moving committed pages from the -wal into the database. They are the publisher's work,
 * so that no put ever pays for one.
 *
 * @module
 */
import { dirname } from "node:path";
import { isNearlyFull } from "./disk_space.ts";
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

  /** @param hasNoop whether SQLite tells the WAL's length without a checkpoint: an older one takes NOOP for PASSIVE */
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
    if (this.#run("PASSIVE") >= RESTART_FRAMES) this.#restart();
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
