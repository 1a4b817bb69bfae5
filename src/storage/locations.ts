/** Where a queue's file is. Service and publisher resolve it by the same function. */
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  type Stats,
  statSync,
} from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import process from "node:process";
import { ConfigurationError, EventStorageError } from "../errors.ts";
import { codeOrMessage } from "../file_error.ts";
import { formatMode, shellQuoted } from "../format.ts";

/** The longest queue name, in characters: `events-NAME.db-wal` stays below the 255 bytes of a file name. */
export const MAX_QUEUE_NAME_CHARS = 100;

/** Environment variables, such as `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The path of a queue's file: `DIRECTORY/events-NAME.db`. Looks at no file.
 *
 * The directory is `directory` if given, else `$EVENTSPOOL_DIR`, else systemd's `$STATE_DIRECTORY`,
 * else `$XDG_STATE_HOME/eventspool`, else `~/.local/state/eventspool`. The path is absolute.
 *
 * @throws {ConfigurationError} the name is not a queue's, the directory's name is empty, or there is no home directory
 */
export function queueFilePath(
  queue: string,
  directory: string | undefined,
  env: Environment = process.env,
): string {
  checkQueueName(queue);
  return join(queueDirectory(directory, env), `events-${queue}.db`);
}

/**
 * {@link queueFilePath}, in a directory that exists. Only the default directory is made when missing
 * (mode 0700): a directory that is named and does not exist is most often a typing error, and service and publisher
 * would use different files.
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

function queueDirectory(directory: string | undefined, env: Environment): string {
  try {
    return namedDirectory(directory, env) ?? defaultDirectory(env);
  } catch (cause) {
    if (cause instanceof ConfigurationError) throw cause;
    const problem = `cannot be found in the environment: ${(cause as Error).message}, or name a directory.`; // Deno
    throw new ConfigurationError(problem, { key: "directory" }, { cause });
  }
}

/** The directory that an option or a variable names; undefined: the default directory. */
export function namedDirectory(directory: string | undefined, env: Environment): string | undefined {
  // Most often a variable that is not set. To take it for the default would hide that.
  if (directory === "")
    throw new ConfigurationError("is empty: name a directory, or leave it out.", { key: "directory" });
  const named = directory ?? (env.EVENTSPOOL_DIR || env.STATE_DIRECTORY?.split(":")[0]);
  return named ? absolutePath(named) : undefined;
}

/**
 * The XDG base directory specification has relative paths ignored: a service and its publisher rarely have the same
 * working directory.
 */
function defaultDirectory(env: Environment): string {
  const { XDG_STATE_HOME: state = "" } = env;
  return join(isAbsolute(state) ? state : join(homeDirectory(env), ".local", "state"), "eventspool");
}

/** Without `$HOME` it is in the system's list of users, where a container's user often is not. */
function homeDirectory({ HOME: home = "" }: Environment): string {
  if (isAbsolute(home)) return home;
  try {
    const listed: string | null = homedir(); // null on Deno
    if (listed !== null && isAbsolute(listed)) return listed;
  } catch {
    // Bun and Node throw where the user is not listed
  }
  throw new ConfigurationError(
    "this user has no home directory, so there is no default directory for queues: name one " +
      "(option directory, queue.directory in the publisher's file, $EVENTSPOOL_DIR).",
    { key: "directory" },
  );
}

/**
 * A path, absolute.
 *
 * @param base what a relative one is relative to; default: the working directory
 * @throws {ConfigurationError} it is relative, and the working directory was removed
 */
export function absolutePath(path: string, base: string = ""): string {
  try {
    return resolve(base, path);
  } catch (cause) {
    const problem = `${JSON.stringify(path)} is relative, and this process's working directory was removed: name an absolute path.`;
    throw new ConfigurationError(problem, {}, { cause });
  }
}

/**
 * Whether a path leads to a queue's file, -wal or -shm, where other data would damage it. The file is not opened: closing
 * it would release SQLite's locks.
 */
export function isPartOfQueue(path: string, queueFile: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return ["", "-wal", "-shm"].some((suffix) => {
    const part = statSync(queueFile + suffix, { throwIfNoEntry: false });
    const isSame = found !== undefined && part?.dev === found.dev && part.ino === found.ino;
    return isSame || absolutePath(path) === queueFile + suffix;
  });
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
      ? `The queue directory ${directory} does not exist: create it (mkdir -p -m 700 ${shellQuoted(directory)}), or name another ` +
        "(option directory, queue.directory in the publisher's file, $EVENTSPOOL_DIR)."
      : `The queue directory ${directory} cannot be used (${codeOrMessage(cause)}): check its owner and mode, or name another.`;
  return new EventStorageError(code, directory, problem, { cause });
}

/** Another user who may change a queue, and what to do about it. */
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
      `everyone may put files into ${directory} (mode ${formatMode(folder.mode)})`,
      `chmod 700 ${shellQuoted(directory)}, or 770 for a group that shares it`,
    );
  if (file !== undefined && (file.mode & 0o007) !== 0)
    add(
      `everyone may read or write ${path} (mode ${formatMode(file.mode)})`,
      `chmod 600 ${shellQuoted(path)}`,
    );
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

const QUEUE_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

/**
 * Returns the name if a queue, and so a file, may have it: letters, digits, `.`, `_` and `-`, at most
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

/**
 * SQLite finds the -wal by the file's name. Processes that open one file by two names write to two of them, and each
 * overwrites what the other has put: by experiment, 400 of 800 puts were gone, and integrity_check was clean.
 * Source: https://www.sqlite.org/howtocorrupt.html, "Multiple links to the same file".
 *
 * @throws {EventStorageError} `SEVERAL_NAMES`: the file has hard links, or is mounted by itself, without its directory
 */
export function rejectSeveralNames(path: string): void {
  const file = realPath(path);
  if (file === undefined) return; // SQLite reports why
  const advice = "what was put by one of them would overwrite what was put by another";
  if (hasLinks(file)) {
    const problem = `The queue file ${path} has several names (hard links): ${advice}. Keep one, and make backups by copying.`;
    throw new EventStorageError("SEVERAL_NAMES", path, problem);
  }
  if (!isMountPoint(file)) return;
  const problem = `The queue file ${path} is mounted by itself and has another name outside: ${advice}. Mount its directory.`;
  throw new EventStorageError("SEVERAL_NAMES", path, problem);
}

/** A path free of links; undefined: the file does not exist, or is out of sight. */
export function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

/** Whether it has further names, apart from those under which it is created, which are removed. */
function hasLinks(path: string): boolean {
  const { nlink, ino } = statSync(path);
  if (nlink === 1) return false;
  const temporary = temporaryPathsOf(path).filter((made) => inodeOf(made) === ino);
  return nlink - temporary.length > 1 && statSync(path).nlink > 1; // again, since one may have gone meanwhile
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** On Linux only. Deno may not be allowed to read it, and would ask at the terminal. */
function isMountPoint(path: string): boolean {
  if (process.versions.deno !== undefined) return false;
  try {
    const escaped = path.replaceAll(
      /[ \t\n\\]/g,
      (char) => `\\0${char.charCodeAt(0).toString(8).padStart(2, "0")}`,
    );
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    return mounts.some((line) => line.split(" ")[4] === escaped);
  } catch {
    return false;
  }
}

/** A file that was not written for so long, in milliseconds, was left by a process that was killed. */
const ABANDONED_AFTER_MS = 10_000;

/** What is added to a file's name; SQLite adds its own. */
const SUFFIX = /^-tmp-[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}(?:-wal|-shm|-journal)?$/;

/** A temporary path in the same directory. No other process can guess it: open it with `wx`. */
export function temporaryPathFor(path: string): string {
  return `${path}-tmp-${crypto.randomUUID()}`;
}

/** Removes what killed processes have left of {@link temporaryPathFor} a path. What cannot be removed stays. */
export function removeAbandoned(path: string): void {
  try {
    for (const left of temporaryPathsOf(path))
      if (Date.now() - lstatSync(left).mtimeMs > ABANDONED_AFTER_MS) rmSync(left, { force: true });
  } catch {
    // removed meanwhile, or owned by another user: it only takes space
  }
}

/** The existing files of {@link temporaryPathFor} a path. @throws the system's error */
function temporaryPathsOf(path: string): string[] {
  const directory = dirname(path);
  const own = basename(path);
  return readdirSync(directory)
    .filter((name) => name.startsWith(own) && SUFFIX.test(name.slice(own.length)))
    .map((name) => join(directory, name));
}
