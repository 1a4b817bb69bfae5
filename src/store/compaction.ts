/**
 * Giving a file's space back to the disk.
 *
 * @module
 */
import { isBusy } from "./busy.ts";
import type { QueueFile } from "./queue_file.ts";
import { toStorageError } from "./storage_error.ts";

const PAGE_BYTES = 4_096;

/** A file with less to give back is left as it is, in bytes: the next load would only make it grow again. */
const MIN_FREE_BYTES = 4_194_304;

/** A file with more in it is left as it is, in bytes: the copy locks puts out for about 5 ms a MiB, 90 ms at worst. */
const MAX_LIVE_BYTES = 16_777_216;

/**
 * Shrinks a queue file of which most is empty, such as after a large backlog was delivered. SQLite uses
 * empty pages again, but never gives them back by itself. To be called when the queue is idle; the ids and
 * all that is in the file stay. Returns whether it did.
 *
 * @throws {EventStorageError} the file cannot be written
 */
export function compact(file: QueueFile): boolean {
  const { db } = file;
  const pages = db.pragma("page_count", { simple: true }) as number;
  const freePages = db.pragma("freelist_count", { simple: true }) as number;
  const freeBytes = freePages * PAGE_BYTES;
  const liveBytes = (pages - freePages) * PAGE_BYTES;
  if (freeBytes < MIN_FREE_BYTES || freeBytes < liveBytes || liveBytes > MAX_LIVE_BYTES) return false;
  try {
    db.pragma("temp_store = MEMORY"); // the copy is small, and /tmp may be anywhere
    db.exec("VACUUM");
    db.pragma("wal_checkpoint(TRUNCATE)"); // only now is the file smaller
    return true;
  } catch (error) {
    if (isBusy(error)) return false; // not idle, then
    throw toStorageError(error, file.path);
  }
}
