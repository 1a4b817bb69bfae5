/**
 * Keeping room on the disk, so that a queue can always be drained.
 *
 * A commit goes to the -wal. When the disk is full and the -wal is too, neither a put nor an ack finds room,
 * and a checkpoint, which would empty the -wal, needs room itself, for the pages by which the .db has to
 * grow: the queue would be stuck until space is freed. So puts stop a little earlier.
 */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import { EventStorageError } from "../errors.ts";
import { diskOf } from "./file_system.ts";
import type { QueueFile } from "./queue_file.ts";

/**
 * What puts leave free on the queue's disk, in bytes: 4 MiB, and no more than an eighth of a small disk. It is
 * for the publisher, whose claims and acks need room to drain the queue.
 */
const MAX_RESERVE_BYTES = 4_194_304;

/** What a put writes in addition to its body, in bytes: two or three pages and their headers. */
const PUT_BYTES = 12_288;

/** Checks from time to time whether a queue's disk has room for the next checkpoint. */
export class DiskSpace {
  readonly #file: QueueFile;
  readonly #directory: string;
  readonly #reserveBytes: number;
  readonly #pageCount;
  readonly #freePages;
  /** What may still be written before the next look. */
  #allowanceBytes = 0;

  constructor(file: QueueFile) {
    this.#file = file;
    this.#directory = dirname(file.path);
    this.#reserveBytes = reserveOf(this.#directory);
    this.#pageCount = file.db.prepareFirst<[], number>("PRAGMA page_count");
    this.#freePages = file.db.prepareFirst<[], number>("PRAGMA freelist_count");
  }

  /**
   * Call it before each put. It checks the disk once for many bytes: 8 us each time, 0.1 us a put.
   *
   * @param count how many events are put @param bytes their size
   * @throws {EventStorageError} `SQLITE_FULL`: the disk has no room left but the reserve
   */
  check(count: number, bytes: number): void {
    this.#allowanceBytes -= count * PUT_BYTES + bytes;
    if (this.#allowanceBytes < 0) this.#look();
  }

  /** Call it from time to time, since other programs fill the disk, too. */
  expire(): void {
    this.#allowanceBytes = 0;
  }

  #look(): void {
    const { freeBytes, neededBytes } = this.#measure();
    if (freeBytes < neededBytes) {
      const problem = `The disk of the queue file ${this.#file.path} is full: ${freeBytes} bytes are free, and ${neededBytes} are reserved for delivering what was put. Free some space; nothing that was put before is lost.`;
      throw new EventStorageError("SQLITE_FULL", this.#file.path, problem);
    }
    this.#allowanceBytes = Math.min(this.#reserveBytes, freeBytes - neededBytes) / 4;
  }

  #measure(): { freeBytes: number; neededBytes: number } {
    const look = () => ({
      freeBytes: freeBytesOf(this.#directory),
      neededBytes: this.#keptBackBytes() + this.#growthBytes(),
    });
    const room = look();
    if (room.freeBytes >= room.neededBytes || !this.#giveBackWal()) return room;
    return look();
  }

  /** Checkpoints are the publisher's work, but there may be no publisher, and a -wal of 64 MB. False: it has nothing to free. */
  #giveBackWal(): boolean {
    const walBytes = statSync(`${this.#file.path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
    if (walBytes < this.#reserveBytes / 4) return false;
    try {
      this.#file.db.pragma("wal_checkpoint(TRUNCATE)");
      return true;
    } catch {
      return false; // another process does it, or there is no room even for that
    }
  }

  /** Where the .db has free pages for what comes next, only its -wal needs room: retained events that were trimmed leave some. */
  #keptBackBytes(): number {
    const freeBytes = (this.#file.run(() => this.#freePages.get()) as number) * 4_096;
    return freeBytes >= this.#reserveBytes ? this.#reserveBytes / 2 : this.#reserveBytes;
  }

  /** By how much the next checkpoint makes the .db grow. */
  #growthBytes(): number {
    const pages = this.#file.run(() => this.#pageCount.get()) as number;
    const fileBytes = statSync(this.#file.path, { throwIfNoEntry: false })?.size ?? 0;
    return Math.max(0, pages * 4_096 - fileBytes);
  }
}

/** What a process that is not root may still write on the disk of a directory, in bytes; Infinity: it cannot be known. */
export function freeBytesOf(directory: string): number {
  const disk = diskOf(directory);
  return disk === undefined ? Number.POSITIVE_INFINITY : disk.bavail * disk.bsize;
}

/** Claims and acks need it between two checkpoints; on a small disk they have to do with less. */
function reserveOf(directory: string): number {
  const { blocks, bsize } = diskOf(directory) ?? { blocks: Number.POSITIVE_INFINITY, bsize: 1 };
  return Math.min(MAX_RESERVE_BYTES, Math.floor((blocks * bsize) / 8));
}

/** Whether puts are about to stop on the disk of a directory, or have. */
export function isNearlyFull(directory: string): boolean {
  return freeBytesOf(directory) < 2 * reserveOf(directory);
}
