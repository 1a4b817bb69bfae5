/**
 * Opening the file that a publisher is to empty.
 *
 * @module
 */
import type { PublisherConfig } from "../config/publisher_config.ts";
import { DEFAULT_BUSY_TIMEOUT_MS } from "../limits.ts";
import { Ballast } from "../store/ballast.ts";
import { QueueFile } from "../store/queue_file.ts";
import { isDiskFull } from "../store/storage_error.ts";

/**
 * Opens a queue's own file, or the service's database that the configuration names; on a full disk in the place of
 * the ballast that an earlier publisher has left there.
 *
 * @throws {EventStorageError} it cannot be used, or is not a queue
 */
export function openFile(path: string, { file, fileMode, ballastBytes }: PublisherConfig): QueueFile {
  const busyTimeoutMs = DEFAULT_BUSY_TIMEOUT_MS;
  const open = () =>
    file === undefined
      ? QueueFile.open(path, { role: "publisher", durability: "process", busyTimeoutMs, fileMode })
      : QueueFile.openOutbox(path, { busyTimeoutMs });
  try {
    return open();
  } catch (error) {
    if (!isDiskFull(error) || !new Ballast(path, ballastBytes).release()) throw error;
    return open();
  }
}
