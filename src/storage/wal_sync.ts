/**
 * Bounding what a power cut can take.
 *
 * @module
 */

import { closeSync, fdatasync, openSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { EventStorageError } from "../errors.ts";
import type { EventTable } from "./events.ts";
import type { QueueFile } from "./queue_file.ts";

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
