/** Space that is freed when other programs have filled the disk. */
import { randomFillSync } from "node:crypto";
import { lstatSync, rmSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { freeBytesOf } from "./disk_space.ts";
import { removeAbandoned, temporaryPathFor } from "./locations.ts";

/** How much is written at once, in bytes. */
const CHUNK_BYTES = 1_048_576;

/** A ballast takes at most this part of the free space: it must not fill a small disk itself. */
const MAX_PART = 8;

/** A smaller ballast is of no use, in bytes. */
const MIN_BYTES = 65_536;

/**
 * A file beside the queue's, `events-NAME.db-ballast`. Puts leave a reserve free; this is for a disk that another
 * program has filled completely: without a ballast the publisher could neither claim nor ack.
 */
export class Ballast {
  readonly path: string;
  readonly #maxBytes: number;
  #making: Promise<void> | undefined;

  /** @param queuePath the queue's file @param maxBytes its size, if the disk has room; 0: none */
  constructor(queuePath: string, maxBytes: number) {
    this.path = `${queuePath}-ballast`;
    this.#maxBytes = maxBytes;
  }

  /** Creates it, unless it exists or the disk has no room. A small one is replaced when there is more room. Rejects when that fails. */
  make(): Promise<void> {
    this.#making ??= this.#make().finally(() => {
      this.#making = undefined;
    });
    return this.#making;
  }

  /** Deletes it. False: there was none. */
  release(): boolean {
    if (sizeOf(this.path) === 0) return false;
    rmSync(this.path, { force: true });
    return true;
  }

  async #make(): Promise<void> {
    removeAbandoned(this.path);
    const sizeBytes = Math.min(this.#maxBytes, Math.floor(freeBytesOf(dirname(this.path)) / MAX_PART));
    if (sizeBytes < MIN_BYTES || sizeBytes < 2 * sizeOf(this.path)) return;
    const temporary = temporaryPathFor(this.path);
    try {
      await writeNoise(temporary, sizeBytes);
      await rename(temporary, this.path);
    } finally {
      await rm(temporary, { force: true });
    }
  }
}

/** Random bytes: a file system that compresses would reserve almost nothing for zeros. */
async function writeNoise(path: string, sizeBytes: number): Promise<void> {
  const noise = randomFillSync(Buffer.alloc(CHUNK_BYTES));
  await using file = await open(path, "wx", 0o600); // follows no symlink
  for (let left = sizeBytes; left > 0; left -= CHUNK_BYTES)
    await file.write(noise, 0, Math.min(left, CHUNK_BYTES));
}

/** 0: there is none. A symlink does not count: to delete it would free nothing. */
function sizeOf(path: string): number {
  const entry = lstatSync(path, { throwIfNoEntry: false });
  return entry?.isFile() ? entry.size : 0;
}
