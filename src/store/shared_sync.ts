/**
 * Syncing commits to the disk without waiting for it on the event loop.
 *
 * @module
 */
import { closeSync, fdatasync, openSync } from "node:fs";
import { promisify } from "node:util";
import { syncError } from "./wal_sync.ts";

const datasync = promisify(fdatasync);

/** Syncs a queue file's -wal for many at once: those that ask while a sync is on its way share the next one. */
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
      // Before anything is waited for: whoever closes the queue now may remove the -wal, as SQLite does then.
      this.#wal ??= openSync(`${this.#path}-wal`, "r+");
      this.#next ??= this.#syncAfter(this.#running, this.#wal);
      await this.#next;
    } catch (cause) {
      throw syncError(this.#path, cause);
    }
  }

  /** Lets go of the -wal when what is on its way has ended. */
  async close(): Promise<void> {
    await (this.#next ?? this.#running).catch(() => {});
    if (this.#wal !== undefined) closeSync(this.#wal);
    this.#wal = undefined;
  }

  async #syncAfter(running: Promise<void>, wal: number): Promise<void> {
    await running.catch(() => {}); // whoever waits for that one has been told
    this.#running = this.#next as Promise<void>;
    this.#next = undefined; // what is committed from here on may come too late for this sync
    await datasync(wal);
  }
}
