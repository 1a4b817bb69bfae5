/**
 * Space that is given up when others have filled the disk.
 *
 * @module
 */
import { randomFillSync } from "node:crypto";
import { lstatSync, rmSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { freeBytesOf } from "./disk_space.ts";
import { removeAbandoned, temporaryPathFor } from "./temporary_file.ts";

/** How much is written at once, in bytes. */
const CHUNK_BYTES = 1_048_576;

/** A ballast takes at most this part of the free space: on a small disk it must not be what fills it. */
const MAX_PART = 8;

/** Below this it helps nobody, in bytes. */
const MIN_BYTES = 65_536;

/**
 * A file beside the queue's, `events-NAME.db-ballast`. Puts keep a reserve by themselves; this is for a disk
 * that something else has filled to the last byte: without it the publisher could neither claim nor ack,
 * and the queue would be stuck.
 */
export class Ballast {
  readonly path: string;
  readonly #maxBytes: number;
  #making: Promise<void> | undefined;

  /** @param queuePath the queue's file @param maxBytes its size where the disk has room; 0: none */
  constructor(queuePath: string, maxBytes: number) {
    this.path = `${queuePath}-ballast`;
    this.#maxBytes = maxBytes;
  }

  /** Makes it, unless it is there or the disk has no room, and makes a small one anew when there is more. Rejects when that fails. */
  make(): Promise<void> {
    this.#making ??= this.#make().finally(() => {
      this.#making = undefined;
    });
    return this.#making;
  }

  /** Gives it up. False: there was none. */
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

/** Noise, since a file system that compresses would keep next to nothing back for zeros. */
async function writeNoise(path: string, sizeBytes: number): Promise<void> {
  const noise = randomFillSync(Buffer.alloc(CHUNK_BYTES));
  await using file = await open(path, "wx", 0o600); // follows no symlink
  for (let left = sizeBytes; left > 0; left -= CHUNK_BYTES)
    await file.write(noise, 0, Math.min(left, CHUNK_BYTES));
}

/** 0: there is none. A symlink in its place is none: giving it up would free nothing. */
function sizeOf(path: string): number {
  const entry = lstatSync(path, { throwIfNoEntry: false });
  return entry?.isFile() ? entry.size : 0;
}
