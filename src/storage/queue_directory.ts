/** The queues of a directory, seen from outside. */
import { readdirSync } from "node:fs";
import { EventStorageError } from "../errors.ts";
import { codeOrMessage } from "../file_error.ts";
import { EventTable, type QueueState } from "./events.ts";
import { QueueFile } from "./queue_file.ts";

/** What a queue's file holds, or why it cannot be read. */
export type QueueLook =
  | { readonly state: QueueState; readonly error?: undefined }
  | { readonly state?: undefined; readonly error: string };

/** The names of the queues in a directory, in order. @throws {EventStorageError} it cannot be read */
export function queuesIn(directory: string): string[] {
  return readDirectory(directory)
    .map((file) => /^events-(.+)\.db$/.exec(file)?.[1])
    .filter((name) => name !== undefined)
    .sort();
}

function readDirectory(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (cause) {
    const { code = "UNKNOWN" } = cause as NodeJS.ErrnoException;
    const problem =
      code === "ENOENT"
        ? `The queue directory ${directory} does not exist: start the service that puts events first, or name another with --directory.`
        : `The queue directory ${directory} cannot be read (${codeOrMessage(cause)}): name another with --directory, or check its owner and mode.`;
    throw new EventStorageError(code, directory, problem, { cause });
  }
}

/**
 * Looks into a queue's file without changing it: it is opened to read, and closed again.
 *
 * @param busyTimeoutMs how long to wait for a file that another process opens or recovers, in milliseconds. Default: 5 s
 */
export function lookAtQueue(path: string, busyTimeoutMs?: number): QueueLook {
  try {
    using file = QueueFile.openReadOnly(path, busyTimeoutMs);
    return { state: new EventTable(file).state() };
  } catch (error) {
    return { error: (error as Error).message };
  }
}
