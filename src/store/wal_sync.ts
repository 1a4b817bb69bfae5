/**
 * Bounding what a power cut can take.
 *
 * @module
 */
import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { EventStorageError } from "../errors.ts";
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
  const dataVersion = file.db.prepare<[], number>("PRAGMA data_version").pluck();
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
export function syncError(path: string, cause: unknown): EventStorageError {
  const { code = "UNKNOWN" } = cause as NodeJS.ErrnoException;
  const problem = `The queue file ${path}-wal cannot be synced to the disk (${code}): if it was removed, restart every process that uses it.`;
  return new EventStorageError(code, path, problem, { cause });
}
