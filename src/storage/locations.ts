/**
 * Where a queue's file is. Service and publisher resolve it by the same function.
 *
 * @module
 */
import { mkdirSync, type Stats, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { ConfigurationError, EventStorageError } from "../errors.ts";
import { MAX_QUEUE_NAME_CHARS } from "../limits.ts";

/** Environment variables, such as `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The path of a queue's file: `DIRECTORY/events-NAME.db`. Looks at no file.
 *
 * The directory is `directory` if given, else `$EVENTSPOOL_DIR`, else systemd's `$STATE_DIRECTORY`,
 * else `$XDG_STATE_HOME/eventspool`, else `~/.local/state/eventspool`.
 *
 * @throws {ConfigurationError} the name is not a queue's, or the directory's name is empty
 */
export function queueFilePath(
  queue: string,
  directory: string | undefined,
  env: Environment = process.env,
): string {
  checkQueueName(queue);
  return join(namedDirectory(directory, env) ?? defaultDirectory(env), `events-${queue}.db`);
}

/**
 * {@link queueFilePath}, in a directory that exists. Only the default directory is made when missing
 * (mode 0700): a directory that somebody named and that is not there is a typing error more often
 * than not, and would have service and publisher use different files.
 *
 * @throws {ConfigurationError} the name is not a queue's
 * @throws {EventStorageError} the directory is missing, or is not a directory
 */
export function locateQueueFile(
  queue: string,
  directory: string | undefined,
  env: Environment = process.env,
): string {
  const path = queueFilePath(queue, directory, env);
  if (namedDirectory(directory, env) === undefined) makeDirectory(dirname(path));
  checkDirectory(dirname(path));
  return path;
}

function namedDirectory(directory: string | undefined, env: Environment): string | undefined {
  // Most often a variable that is not set. To take it for the default would hide that.
  if (directory === "")
    throw new ConfigurationError("is empty: name a directory, or leave it out.", { key: "directory" });
  const named = directory ?? (env.EVENTSPOOL_DIR || env.STATE_DIRECTORY?.split(":")[0]);
  return named ? resolve(named) : undefined;
}

function defaultDirectory(env: Environment): string {
  return join(env.XDG_STATE_HOME || join(homedir(), ".local", "state"), "eventspool");
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw directoryError(directory, cause);
  }
}

function checkDirectory(directory: string): void {
  try {
    if (statSync(directory).isDirectory()) return;
  } catch (cause) {
    throw directoryError(directory, cause);
  }
  throw new EventStorageError(
    "ENOTDIR",
    directory,
    `The queue directory ${directory} is not a directory: name one that is.`,
  );
}

function directoryError(directory: string, cause: unknown): EventStorageError {
  const code = (cause as NodeJS.ErrnoException).code ?? "UNKNOWN";
  const problem =
    code === "ENOENT"
      ? `The queue directory ${directory} does not exist: create it (mkdir -p -m 700 ${directory}), or name another ` +
        "(option directory, queue.directory in the publisher's file, $EVENTSPOOL_DIR)."
      : `The queue directory ${directory} cannot be used (${code}): see to its owner and mode, or name another.`;
  return new EventStorageError(code, directory, problem, { cause });
}

/** Someone who may change a queue besides those who use it, and what to do about it. */
export interface Exposure {
  readonly problem: string;
  readonly advice: string;
}

/**
 * Who else may read, change or replace a queue's file, by the modes and owners of it and its directory. Nothing is
 * found out as root, who works on the queues of others, nor of owners without the right to (Deno's `--allow-sys=uid`).
 */
export function exposuresOf(path: string): Exposure[] {
  const directory = dirname(path);
  const exposures: Exposure[] = [];
  const add = (problem: string, advice: string): void => void exposures.push({ problem, advice });
  const [folder, file] = [statsOf(directory), statsOf(path)];
  if (folder !== undefined && (folder.mode & 0o002) !== 0)
    add(
      `everyone may put files into ${directory} (mode ${octal(folder.mode)})`,
      `chmod 700 ${directory}, or 770 for a group that shares it`,
    );
  if (file !== undefined && (file.mode & 0o007) !== 0)
    add(`everyone may read or write ${path} (mode ${octal(file.mode)})`, `chmod 600 ${path}`);
  for (const [place, stats] of [
    [directory, folder],
    [path, file],
  ] as const)
    if (stats !== undefined && isForeign(stats))
      add(`${place} belongs to another user (${stats.uid})`, "use a directory that this user or root made");
  return exposures;
}

/** Undefined: it is gone, which others notice, or out of sight. */
function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/** Whether neither we nor root own it, nor a group of ours shares it. */
function isForeign({ uid, gid, mode }: Stats): boolean {
  try {
    const we = process.getuid?.() ?? uid; // Windows has none
    if (we === 0 || uid === we || uid === 0) return false;
    return (mode & 0o060) !== 0o060 || !process.getgroups?.().includes(gid);
  } catch {
    return false; // Deno may not look
  }
}

/** A file's mode, as chmod takes it. */
export function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}

const QUEUE_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

/**
 * Gives the name back when it may name a queue, and so a file: letters, digits, `.`, `_` and `-`, at most
 * 100 of them, not starting with `.`.
 *
 * @throws {ConfigurationError}
 */
export function checkQueueName(name: string): string {
  if (QUEUE_NAME.test(name) && name.length <= MAX_QUEUE_NAME_CHARS) return name;
  throw new ConfigurationError(
    `${JSON.stringify(name)} is not a queue name: use letters, digits, ".", "_" and "-", ` +
      `not starting with ".", at most ${MAX_QUEUE_NAME_CHARS} of them.`,
  );
}
