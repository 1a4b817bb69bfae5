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
  /** Told of each sync that was done. */
  readonly onSync?: () => void;
  /** Resolves when somebody may have written, where that is known; else it is looked, ten times a second. */
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

/** What to tell of a -wal that cannot be opened or synced. */
function syncError(path: string, cause: unknown): EventStorageError {
  const { code = "UNKNOWN" } = cause as NodeJS.ErrnoException;
  const problem = `The queue file ${path}-wal cannot be synced to the disk (${code}): if it was removed, restart every process that uses it.`;
  return new EventStorageError(code, path, problem, { cause });
}

/**
 * Sees to it that an event survives a power cut before it is sent. Ids name events for ever: if the disk forgot
 * one that the collector has, its id would be given to another event, and a collector that drops what it has seen
 * would drop that one. An event that was put before the last sync costs nothing, so there is one sync a request at
 * most, and none while a full queue is drained.
 */
export class DurableHead {
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
    const { newestId } = this.#events.counters(); // committed by now, and so taken by a sync that begins later
    await this.#sync.sync();
    this.#durableId = Math.max(this.#durableId, newestId);
  }

  /** Lets go of the -wal when what is on its way has ended. */
  async close(): Promise<void> {
    await this.#sync.close();
  }
}

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
