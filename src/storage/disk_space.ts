/**
 * Keeping room on the disk, so that a queue can always be drained.
 *
 * A commit goes to the -wal. When the disk is full and the -wal is too, neither a put nor an ack finds room,
 * and a checkpoint, which would empty the -wal, needs room itself, for the pages by which the .db has to
 * grow: the queue would be stuck until somebody frees space. So puts stop a little earlier.
 *
 * @module
 */

import { type StatsFs, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { EventStorageError } from "../errors.ts";
import { MAX_RESERVE_BYTES } from "../limits.ts";
import type { QueueFile } from "./queue_file.ts";

/** What a put writes besides its body, in bytes: two or three pages and their headers. */
const PUT_BYTES = 12_288;

/** Looks, now and then, whether a queue's disk has room for what was committed to be checkpointed. */
export class DiskSpace {
  readonly #file: QueueFile;
  readonly #directory: string;
  readonly #reserveBytes: number;
  readonly #pageCount;
  /** What may still be written before the next look. */
  #allowanceBytes = 0;

  constructor(file: QueueFile) {
    this.#file = file;
    this.#directory = dirname(file.path);
    this.#reserveBytes = reserveOf(this.#directory);
    this.#pageCount = file.db.prepare<[], number>("PRAGMA page_count").pluck();
  }

  /**
   * To be called before each put. Looks after every so many bytes: 8 us each time, 0.1 us a put.
   *
   * @param count how many events are put @param bytes their size
   * @throws {EventStorageError} `SQLITE_FULL`: the disk has no room left but the reserve
   */
  check(count: number, bytes: number): void {
    this.#allowanceBytes -= count * PUT_BYTES + bytes;
    if (this.#allowanceBytes < 0) this.#look();
  }

  /** To be called once in a while, since others fill the disk too. */
  expire(): void {
    this.#allowanceBytes = 0;
  }

  #look(): void {
    const { freeBytes, neededBytes } = this.#measure();
    if (freeBytes < neededBytes) {
      const problem = `The disk of the queue file ${this.#file.path} is full but for ${freeBytes} bytes, and ${neededBytes} are kept back so that what was put can be delivered: free some space. Nothing that was put before is lost.`;
      throw new EventStorageError("SQLITE_FULL", this.#file.path, problem);
    }
    this.#allowanceBytes = Math.min(this.#reserveBytes, freeBytes - neededBytes) / 4;
  }

  #measure(): { freeBytes: number; neededBytes: number } {
    const look = () => ({
      freeBytes: freeBytesOf(this.#directory),
      neededBytes: this.#reserveBytes + this.#growthBytes(),
    });
    const room = look();
    if (room.freeBytes >= room.neededBytes || !this.#giveBackWal()) return room;
    return look();
  }

  /** Checkpoints are the publisher's work, but there may be none, and a -wal of 64 MB. False: it has nothing to give. */
  #giveBackWal(): boolean {
    const walBytes = statSync(`${this.#file.path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
    if (walBytes < this.#reserveBytes / 4) return false;
    try {
      this.#file.db.pragma("wal_checkpoint(TRUNCATE)");
      return true;
    } catch {
      return false; // someone else is at it, or there is no room even for that
    }
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

/** Undefined where it cannot be looked at: the directory is gone, which others notice, or Deno may not (--allow-sys=statfs). */
function diskOf(directory: string): StatsFs | undefined {
  try {
    return statfsSync(directory);
  } catch {
    return undefined;
  }
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
