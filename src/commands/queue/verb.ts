/** What a verb of `eventspool` is, and what it works with. */
import { appendFileSync, closeSync, existsSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { devNull } from "node:os";
import { dirname, resolve } from "node:path";
import { ConfigurationError, EventStorageError } from "../../errors.ts";
import { codeOrMessage } from "../../file_error.ts";
import { didYouMean, shellQuoted } from "../../format.ts";
import { isPartOfQueue, queueFilePath } from "../../storage/locations.ts";
import { queuesIn } from "../../storage/queue_directory.ts";
import { QueueFile } from "../../storage/queue_file.ts";
import { DEFAULT_SUBSCRIPTION } from "../../storage/subscriptions.ts";

/** An option of a verb: for parsing, `--help` and completion. */
export interface Option {
  readonly type: "boolean" | "string";
  readonly short?: string;
  /** Its value as `--help` names it, such as `TIME`; none for a boolean. */
  readonly value?: string;
  readonly default?: string;
  /** What it does, in a few words. */
  readonly help: string;
  /** A value, for the error when there is none. */
  readonly example?: string;
  /** What its value may be, for completion. Default: any text. */
  readonly completes?: "file" | "directory" | "queue";
}

/** The options of a verb, by their long names. */
export type Options = Readonly<Record<string, Option>>;

/** A verb, such as `depth` or `dead list`. Its `--help`, its completion in shells and its parser are derived from it. */
export interface Verb {
  /** What it does, in a few words. */
  readonly summary: string;
  /** Its arguments, such as `ID...`. Default: it takes none. */
  readonly args?: string;
  readonly options: Options;
  /** What else one should know, in sentences. */
  readonly details?: string;
  /** What `--json` prints. */
  readonly json?: string;
  /** When it exits with 1, apart from a failure. */
  readonly fails?: string;
  /** Each is what may follow the verb, such as `--status 422`. */
  readonly examples: readonly string[];
  /** Returns the exit code. */
  run(call: Call): Promise<number> | number;
}

/** What a verb was called with. */
export interface Call extends QueueLocation {
  /** The options of the verb. */
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  /** The arguments. */
  readonly args: readonly string[];
  /** Aborts on SIGINT or SIGTERM: ends what would run forever. */
  readonly stop: AbortSignal;
  readonly output: Output;
  /** The program as it was called: `eventspool`, or `bun run queue`. */
  readonly program: string;
}

/** Which queue is meant. */
export interface QueueLocation {
  /** The queue's name. */
  readonly queue: string;
  /** `--directory`; undefined: as for the service. */
  readonly directory: string | undefined;
  /** `--file`: a service's database with an outbox; undefined: a queue of the directory. */
  readonly file?: string | undefined;
}

/** How a line is shown on a terminal. */
export type Style = "bold" | "dim" | "green" | "red" | "yellow";

/** Where a verb writes to. */
export interface Output {
  /** Writes a line for people or programs to stdout. */
  line(text: string, style?: Style): void;
  /** Writes a line to stderr. */
  note(text: string): void;
  /** Asks for a yes; undefined: there is nobody to ask. */
  confirm(question: string): Promise<boolean | undefined>;
  /** All of stdin, line by line, without the `\n` that ends each. */
  input(): AsyncIterable<Uint8Array>;
}

/** Options of verbs that look at a directory of queues. */
export const DIRECTORY: Options = {
  directory: {
    type: "string",
    value: "DIR",
    help: "where queue files are (default: $EVENTSPOOL_DIR, $STATE_DIRECTORY, $XDG_STATE_HOME/eventspool, ~/.local/state/eventspool)",
    completes: "directory",
  },
};

/** Options of verbs that work on one queue with a file of its own. */
export const QUEUE: Options = {
  "queue-name": {
    type: "string",
    value: "NAME",
    default: "main",
    help: "the queue (default: main)",
    completes: "queue",
  },
  ...DIRECTORY,
};

/** Options of verbs that work on a queue or an outbox. */
export const QUEUE_OR_OUTBOX: Options = {
  ...QUEUE,
  file: {
    type: "string",
    value: "PATH",
    help: "a service's database with an outbox, instead of a queue",
    completes: "file",
  },
};

/** Option of verbs that work on one subscription. */
export const SUBSCRIPTION: Options = {
  subscription: {
    type: "string",
    value: "NAME",
    help: "the subscription (default: default)",
    example: "default",
  },
};

export const JSON_OUTPUT: Options = {
  json: { type: "boolean", help: "print JSON for programs (see below)" },
};

/** Options of verbs that print about one subscription of a queue or an outbox. */
export const OF_SUBSCRIPTION: Options = { ...SUBSCRIPTION, ...QUEUE_OR_OUTBOX, ...JSON_OUTPUT };

export const YES: Options = { yes: { type: "boolean", help: "do not ask" } };

/** A command line that is not understood. */
export class UsageError extends Error {}

/** How long a write waits for the lock, in milliseconds: people wait longer than services. */
const BUSY_TIMEOUT_MS = 5_000;

/** Which subscription is meant, as an option of the tables in src/storage. */
export function subscriptionOf({ values }: Call): { readonly subscription: string } {
  return { subscription: String(values.subscription ?? DEFAULT_SUBSCRIPTION) };
}

/** Opens the queue for reading; nothing is changed or created. The caller closes it. @throws {EventStorageError} */
export function openToRead(call: Call): QueueFile {
  const path = existingFile(call);
  if (call.file === undefined) return QueueFile.openReadOnly(path);
  return QueueFile.openOutbox(path, { busyTimeoutMs: BUSY_TIMEOUT_MS, isReadOnly: true });
}

/** Opens the queue for writing, as one more process beside those that use it. The caller closes it. @throws {EventStorageError} */
export function openToWrite(call: Call): QueueFile {
  const path = existingFile(call);
  if (call.file !== undefined) return QueueFile.openOutbox(path, { busyTimeoutMs: BUSY_TIMEOUT_MS });
  return QueueFile.open(path, {
    busyTimeoutMs: BUSY_TIMEOUT_MS,
    allowNetworkFileSystem: true, // its service and publisher have decided
  });
}

/** The path of a queue that exists: a name that does not is a typing error more often than a new queue. */
export function existingFile(call: Call): string {
  const { queue, directory, file } = call;
  if (file !== undefined) return existingDatabase(resolve(file));
  const path = queueFilePath(queue, directory);
  if (existsSync(path)) return path;
  const names = queuesIn(dirname(path));
  if (names.includes(queue)) {
    const problem = `The queue file ${path} is a link to a file that does not exist: restore that file, or remove the link.`;
    throw new EventStorageError("ENOENT", path, problem);
  }
  const meant = didYouMean(queue, names);
  const hint = meant === undefined ? "" : ` Did you mean ${JSON.stringify(meant)}?`;
  const others =
    names.length === 0 ? "no queue" : names.length === 1 ? `only ${names[0]}` : `only ${names.join(", ")}`;
  const problem = `Queue ${JSON.stringify(queue)} does not exist in ${dirname(path)}, which has ${others}.${hint} Name a queue with --queue-name, or its directory with --directory.`;
  throw new EventStorageError("ENOENT", path, problem);
}

/** @throws {EventStorageError} it does not exist */
function existingDatabase(path: string): string {
  if (existsSync(path)) return path;
  const problem = `The file ${path} does not exist: name the service's database with --file.`;
  throw new EventStorageError("ENOENT", path, problem);
}

/**
 * Opens a file to append lines to; a new one is for its owner only. A last line that was cut off is ended, or the first
 * event would become part of it.
 *
 * @throws {ConfigurationError} it cannot be opened, or is a file of the queue, which the lines would damage
 */
export function openTarget(path: string, queue: QueueFile): number {
  if (isPartOfQueue(path, queue.path))
    throw new ConfigurationError(`${path} is a file of the queue itself: choose another.`, { key: "--to" });
  try {
    const target = openSync(path, "a", 0o600);
    const stats = fstatSync(target);
    if (stats.isFile() && stats.size > 0 && lastByte(path, stats.size) !== LINE_FEED)
      appendFileSync(target, "\n");
    return target;
  } catch (cause) {
    const problem = `cannot append to ${path} (${codeOrMessage(cause)}): choose a file in a directory that this user may write to.`;
    throw new ConfigurationError(problem, { key: "--to" }, { cause });
  }
}

/**
 * Rejects /dev/null: events that are written there are lost. It is also what a runtime opens in place of a closed stdout.
 *
 * @throws {ConfigurationError}
 */
export function checkKept(target: number): void {
  const { rdev } = fstatSync(target);
  if (rdev === 0 || rdev !== statSync(devNull, { throwIfNoEntry: false })?.rdev) return;
  const problem = `is closed or ${devNull}, where events are lost: name a file, or delete events with purge.`;
  throw new ConfigurationError(problem, { key: "--to" });
}

const LINE_FEED = 0x0a;

function lastByte(path: string, size: number): number | undefined {
  const file = openSync(path, "r");
  const byte = new Uint8Array(1);
  readSync(file, byte, 0, 1, size - 1);
  closeSync(file);
  return byte[0];
}

/**
 * A command line that can be pasted into a shell: of the program as it was called, for the same queue.
 *
 * @param rest what comes after the program's name, such as `dead show 3`
 */
export function hint({ program, values }: Call, rest: string): string {
  const isOfOne = /^(?:dead|replay) /.test(rest); // a verb that is about one subscription
  const location = Object.keys({ ...QUEUE_OR_OUTBOX, ...(isOfOne && SUBSCRIPTION) })
    .filter((name) => values[name] !== undefined && values[name] !== QUEUE_OR_OUTBOX[name]?.default)
    .map((name) => ` --${name} ${shellQuoted(String(values[name]))}`);
  return `${program} ${rest}${location.join("")}`;
}

/** The value of an option, as `parse` reads it; undefined: it is not there. @throws {UsageError} it names the option */
export function readOption<T>({ values }: Call, name: string, parse: (text: string) => T): T | undefined {
  const value = values[name];
  if (value === undefined) return undefined;
  try {
    return parse(String(value));
  } catch (error) {
    throw new UsageError(`--${name}: ${(error as Error).message}`, { cause: error });
  }
}

/** Asks before something is deleted. Without a terminal, only `--yes` will do. */
export async function confirmed({ values, output }: Call, question: string): Promise<boolean> {
  if (values.yes) return true;
  const answer = await output.confirm(question);
  if (answer === undefined) throw new UsageError("not a terminal, so nobody can be asked: pass --yes.");
  return answer;
}
