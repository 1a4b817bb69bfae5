/**
 * Keeping room on the disk, so that a queue can always be drained.
 *
 * A commit goes to the -wal. When the disk is full and the -wal is too, neither a put nor an ack finds room,
 * and a checkpoint, which would empty the -wal, needs room itself, for the pages by which the .db has to
 * grow: the queue would be stuck until space is freed. So puts stop a little earlier.
 */
import fs, { type StatsFs, statSync } from "node:fs";
import { dirname } from "node:path";
import { EventStorageError } from "../errors.ts";
import type { QueueFile } from "./queue_file.ts";

/**
 * What puts leave free on the queue's disk, in bytes: 4 MiB, and no more than an eighth of a small disk. It is
 * for the publisher, whose claims and acks need room to drain the queue.
 */
const MAX_RESERVE_BYTES = 4_194_304;

/** What a put writes besides its body, in bytes: two or three pages and their headers. */
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

/** Undefined where it cannot be looked at: the directory is gone, which others notice, or Deno may not (--allow-sys=statfs). */
function diskOf(directory: string): StatsFs | undefined {
  try {
    return fs.statfsSync(directory);
  } catch {
    return undefined;
  }
}

/** Claims and acks need it between two checkpoints; on a small disk they have to do with less. */
function reserveOf(directory: string): number {
  const { blocks, bsize } = diskOf(directory) ?? { blocks: Number.POSITIVE_INFINITY, bsize: 1 };
  return Math.min(MAX_RESERVE_BYTES, Math.floor((blocks * bsize) / 8));
}

/**
 * File systems over a network or of another kernel, by the type that statfs tells (Linux: `linux/magic.h`, `statfs(2)`).
 * SQLite's WAL needs memory and locks that all users of the file share; there they may seem to work, and do not.
 */
const NETWORK_FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x65735546, "FUSE"],
  [0x01021997, "9p"],
  [0x00c36400, "Ceph"],
  [0x5346414f, "AFS"],
  [0x6b414653, "AFS"],
  [0x73757245, "Coda"],
  [0x564c, "NCP"],
  [0x0bd00bd0, "Lustre"],
  [0x47504653, "GPFS"],
  [0x19830326, "BeeGFS"],
  [0x20030528, "OrangeFS"],
  [0x786f4256, "VirtualBox shared folders"],
  [0xbacbacbc, "VMware shared folders"],
]);

/** What a file system is called if it is one over a network or of another kernel; undefined: it is not, or cannot be known. */
export function networkFileSystemOf(
  directory: string,
  type: number | undefined = diskOf(directory)?.type,
): string | undefined {
  return type === undefined ? undefined : NETWORK_FILE_SYSTEMS.get(type >>> 0); // some give it with a sign
}

/** @throws {EventStorageError} `NETWORK_FILE_SYSTEM` */
export function rejectNetworkFileSystem(path: string): void {
  const name = networkFileSystemOf(dirname(path));
  if (name === undefined) return;
  const problem = `The queue file ${path} is on a network file system (${name}), where SQLite's locks may not hold and events may be lost: use a local disk. If only one host ever uses it and its locks work, insist by queue.allow_network_file_system = true (option allowNetworkFileSystem).`;
  throw new EventStorageError("NETWORK_FILE_SYSTEM", path, problem);
}

/** Whether puts are about to stop on the disk of a directory, or have. */
export function isNearlyFull(directory: string): boolean {
  return freeBytesOf(directory) < 2 * reserveOf(directory);
}
