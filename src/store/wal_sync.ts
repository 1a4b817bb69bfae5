/**
 * Bounding what a power cut can take.
 *
 * @module
 */
import { close, fdatasync, openSync } from "node:fs";
import type { QueueFile } from "./queue_file.ts";

/** How often commits are synced to the disk, in milliseconds. */
const SYNC_EVERY_MS = 100;

/**
 * Syncs a queue file's -wal shortly after others have committed to it, off the event loop. Without it
 * a power cut or a crash of the operating system takes all puts since the last checkpoint, with it
 * those of the last {@link SYNC_EVERY_MS} or so; puts wait for it in neither case. The -wal is safe to
 * open beside SQLite; the `.db` and -shm are not: closing them would drop SQLite's POSIX locks.
 */
export class WalSync implements Disposable {
  /** How many times something was synced. */
  count = 0;
  readonly #dataVersion;
  readonly #wal: number;
  readonly #timer: NodeJS.Timeout;
  #syncedVersion: number;
  #isSyncing = false;
  #isClosed = false;

  /** Starts right away. @param onError told of a disk that fails to sync */
  constructor(file: QueueFile, onError: (error: Error) => void) {
    // Changes when another connection has committed, and costs 2 us to look at. What this process
    // commits itself are acks: losing one brings a duplicate, not a loss.
    this.#dataVersion = file.db.prepare<[], number>("PRAGMA data_version").pluck();
    this.#syncedVersion = this.#readVersion();
    this.#wal = openSync(`${file.path}-wal`, "r+");
    this.#timer = setInterval(() => this.#look(onError), SYNC_EVERY_MS);
    this.#timer.unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#isClosed = true;
    if (!this.#isSyncing) close(this.#wal);
  }

  #look(onError: (error: Error) => void): void {
    const version = this.#readVersion();
    if (this.#isSyncing || version === this.#syncedVersion) return;
    this.#isSyncing = true;
    fdatasync(this.#wal, (error) => {
      this.#isSyncing = false;
      if (this.#isClosed) close(this.#wal);
      if (error) return onError(error);
      this.#syncedVersion = version;
      this.count++;
    });
  }

  #readVersion(): number {
    return this.#dataVersion.get() as number;
  }
}
