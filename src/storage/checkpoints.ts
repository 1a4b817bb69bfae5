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

/** From here on each call moves what it can; a WAL that is all moved is written again from its start. */
const PASSIVE_FRAMES = Math.ceil(8_000_000 / FRAME_BYTES);

/** From here on readers are waited for, since only then can the WAL start again; it blocks puts, so not for long. */
const RESTART_FRAMES = Math.ceil(32_000_000 / FRAME_BYTES);
const RESTART_TIMEOUT_MS = 30;

/** On a disk that is nearly full, each call moves all there is from here on. */
const LOW_DISK_FRAMES = 16;

/** How often to look whether it is, in milliseconds: a look costs 40 us, and with every batch 4 % of a drain. */
const LOW_DISK_CHECK_MS = 100;

/** An idle queue's WAL is cut to nothing from this size on, in bytes. */
const IDLE_BYTES = 1_048_576;

type Mode = "NOOP" | "PASSIVE" | "RESTART" | "TRUNCATE";

/** Keeps the WAL of one queue file bounded. */
export class Checkpoints {
  readonly #file: QueueFile;
  /** By mode: preparing one each time costs 25 us, and they are looked at with every batch. */
  readonly #statements: Readonly<Record<Mode, Statement<[], { log: number }>>>;
  readonly #hasNoop: boolean;
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

  /**
   * To be called before a claim and as leases are settled: 4 us unless there is something to move. On a disk
   * that is nearly full it moves everything at once, while there is room for it.
   */
  keepUp(): void {
    const frames = this.#hasNoop ? this.#run("NOOP") : this.#walBytes() / FRAME_BYTES;
    if (frames < LOW_DISK_FRAMES) return;
    if (this.#diskIsLow()) this.truncateWal();
    else if (frames >= PASSIVE_FRAMES) this.#moveMost();
  }

  /** To be called when the queue is idle: gives the WAL's space back. Never under load: a reused WAL makes a put 1.2 x faster. */
  onIdle(): void {
    // By the size of the file: once it was started again, the frames in use say little about it (44 MB were seen).
    if (this.#walBytes() >= IDLE_BYTES) this.truncateWal();
  }

  /** To be called when the disk is full: gives back all of the WAL's space that can be. */
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
  }

  #restart(): void {
    this.#file.db.pragma(`busy_timeout = ${RESTART_TIMEOUT_MS}`);
    try {
      this.#run("RESTART");
    } finally {
      this.#file.db.pragma("busy_timeout = 0");
    }
  }

  /** Returns the WAL's length in frames. A checkpoint that meets another connection is simply done later. */
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

/** A file with less to give back is left as it is, in bytes: the next load would only make it grow again. */
const MIN_FREE_BYTES = 4_194_304;

/** A file with more in it is left as it is, in bytes: the copy locks puts out for about 5 ms a MiB, 90 ms at worst. */
const MAX_LIVE_BYTES = 16_777_216;

/**
 * Shrinks a queue file of which most is empty, such as after a large backlog was delivered. SQLite uses
 * empty pages again, but never gives them back by itself. To be called when the queue is idle; the ids and
 * all that is in the file stay. Returns whether it did.
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
