/**
 * What a verb of the operator's tool is, and what it works with.
 *
 * @module
 */
import { existsSync, openSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { ParseArgsOptionsConfig } from "node:util";
import { didYouMean } from "../../did_you_mean.ts";
import { ConfigurationError, EventStorageError } from "../../errors.ts";
import { queueFilePath } from "../../storage/locations.ts";
import { queuesIn } from "../../storage/queue_directory.ts";
import { QueueFile } from "../../storage/queue_file.ts";

/** What a verb was called with. */
export interface Call {
  /** The queue's name. */
  readonly queue: string;
  /** `--directory`; undefined: as for the service. */
  readonly directory: string | undefined;
  /** `--file`: a service's database whose outbox is meant; undefined: a queue of the directory. */
  readonly file?: string | undefined;
  /** The options of the verb. */
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  /** What stands behind the verb. */
  readonly args: readonly string[];
  /** Ends what would go on for ever. */
  readonly stop: AbortSignal;
  readonly output: Output;
}

/** Which queue is meant. */
export type QueueLocation = Pick<Call, "queue" | "directory" | "file">;

/** How long a write waits for the lock, in milliseconds: people wait longer than services. */
const BUSY_TIMEOUT_MS = 5_000;

/** Where a verb writes to. */
export interface Output {
  /** Writes a line for people or programs to stdout. */
  line(text: string): void;
  /** Writes a line to stderr. */
  note(text: string): void;
  /** Asks for a yes; undefined: there is nobody to ask. */
  confirm(question: string): Promise<boolean | undefined>;
  /** All of stdin, line by line, without the `\n` that ends each. */
  input(): AsyncIterable<Uint8Array>;
}

/** A verb: `queue depth`. */
export interface Verb {
  /** What it does, in a few words. */
  readonly summary: string;
  /** What may stand behind it, such as `ID... | --all`. */
  readonly usage: string;
  /** The rest of its --help. */
  readonly help: string;
  readonly options: ParseArgsOptionsConfig;
  /** Returns the exit code. */
  run(call: Call): Promise<number> | number;
}

/** Opens the queue for reading; nothing is changed or made. The caller closes it. @throws {EventStorageError} */
export function openToRead(call: QueueLocation): QueueFile {
  const path = existingFile(call);
  if (call.file === undefined) return QueueFile.openReadOnly(path);
  return QueueFile.openOutbox(path, { busyTimeoutMs: BUSY_TIMEOUT_MS, isReadOnly: true });
}

/** Opens the queue for writing, as one more process beside those that use it. The caller closes it. @throws {EventStorageError} */
export function openToWrite(call: QueueLocation): QueueFile {
  const path = existingFile(call);
  if (call.file !== undefined) return QueueFile.openOutbox(path, { busyTimeoutMs: BUSY_TIMEOUT_MS });
  return QueueFile.open(path, {
    role: "producer",
    durability: "process",
    busyTimeoutMs: BUSY_TIMEOUT_MS,
    allowNetworkFileSystem: true, // whoever uses the queue has decided
  });
}

/** The path of a queue that is there: a name that is not is a typing error more often than a new queue. */
export function existingFile({ queue, directory, file }: QueueLocation): string {
  if (file !== undefined) return existingDatabase(resolve(file));
  const path = queueFilePath(queue, directory);
  if (existsSync(path)) return path;
  const names = queuesIn(dirname(path));
  const meant = didYouMean(queue, names);
  const hint = meant === undefined ? "" : ` Is ${JSON.stringify(meant)} meant?`;
  const there = names.length === 0 ? "there is no queue at all" : `there are ${names.join(", ")}`;
  const problem = `There is no queue ${JSON.stringify(queue)} in ${dirname(path)}: ${there}.${hint} Name one with --queue-name, or another place with --directory.`;
  throw new EventStorageError("ENOENT", path, problem);
}

/** @throws {EventStorageError} it is not there */
function existingDatabase(path: string): string {
  if (existsSync(path)) return path;
  throw new EventStorageError(
    "ENOENT",
    path,
    `There is no file ${path}: name the service's database with --file.`,
  );
}

/** For verbs that know only the queues of a directory. @throws {ConfigurationError} `--file` is given */
export function rejectOutbox({ file }: QueueLocation, reason: string): void {
  if (file !== undefined) throw new ConfigurationError(`cannot be used here: ${reason}`, { key: "--file" });
}

/** Opens a file to append events to, for its owner only where it is made. @throws {ConfigurationError} it cannot be */
export function openTarget(path: string): number {
  try {
    return openSync(path, "a", 0o600);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const problem = `cannot append to ${path} (${code}): choose a file in a directory that this user may write to.`;
    throw new ConfigurationError(problem, { key: "--to" }, { cause });
  }
}
