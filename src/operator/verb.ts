/**
 * What a verb of the operator's tool is, and what it works with.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { ParseArgsOptionsConfig } from "node:util";
import { nearest } from "../config/nearest.ts";
import { EventStorageError } from "../errors.ts";
import { queueFilePath } from "../store/location.ts";
import { queuesIn } from "../store/queue_directory.ts";
import { QueueFile } from "../store/queue_file.ts";

/** What a verb was called with. */
export interface Call {
  /** The queue's name. */
  readonly queue: string;
  /** `--directory`; undefined: as for the service. */
  readonly directory: string | undefined;
  /** The options of the verb. */
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  /** What stands behind the verb. */
  readonly args: readonly string[];
  /** Ends what would go on for ever. */
  readonly stop: AbortSignal;
  readonly output: Output;
}

/** Where a verb writes to. */
export interface Output {
  /** Writes a line for people or programs to stdout. */
  line(text: string): void;
  /** Writes a line to stderr. */
  note(text: string): void;
  /** Asks for a yes; undefined: there is nobody to ask. */
  confirm(question: string): Promise<boolean | undefined>;
  /** All of stdin, line by line. */
  input(): AsyncIterable<string>;
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
export function openToRead(call: Pick<Call, "queue" | "directory">): QueueFile {
  return QueueFile.openReadOnly(existingFile(call));
}

/** Opens the queue for writing, as one more process beside those that use it. The caller closes it. @throws {EventStorageError} */
export function openToWrite(call: Pick<Call, "queue" | "directory">): QueueFile {
  return QueueFile.open(existingFile(call), {
    role: "producer",
    durability: "process",
    busyTimeoutMs: 5_000,
  });
}

/** The path of a queue that is there: a name that is not is a typing error more often than a new queue. */
export function existingFile({ queue, directory }: Pick<Call, "queue" | "directory">): string {
  const path = queueFilePath(queue, directory);
  if (existsSync(path)) return path;
  const names = queuesIn(dirname(path));
  const meant = nearest(queue, names);
  const hint = meant === undefined ? "" : ` Is ${JSON.stringify(meant)} meant?`;
  const there = names.length === 0 ? "there is no queue at all" : `there are ${names.join(", ")}`;
  const problem = `There is no queue ${JSON.stringify(queue)} in ${dirname(path)}: ${there}.${hint} Name one with --queue-name, or another place with --directory.`;
  throw new EventStorageError("ENOENT", path, problem);
}
