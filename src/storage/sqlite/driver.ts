/**
 * Which SQLite library this process uses, and which one has which database open.
 *
 * @module
 */
import { existsSync, realpathSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { ConfigurationError, EventStorageError } from "../../errors.ts";
import { betterSqlite3, checkRuntime } from "./better_sqlite3.ts";
import { bunSqlite } from "./bun_sqlite.ts";
import { nodeSqlite } from "./node_sqlite.ts";
import type { Database, Driver, DriverName, OpenOptions } from "./sqlite.ts";

/** The SQLite libraries by their names, in the order in which they are tried. */
export const DRIVER_NAMES: readonly DriverName[] = ["better-sqlite3", "bun:sqlite", "node:sqlite"];

const LOADERS: Readonly<Record<DriverName, (path: string) => Driver>> = {
  "better-sqlite3": (path) => {
    checkRuntime(path);
    const library = requirePackage("better-sqlite3");
    new library(":memory:").close(); // only now does it load its addon
    return betterSqlite3(library);
  },
  "bun:sqlite": () => bunSqlite(builtin("bun:sqlite").Database),
  "node:sqlite": () => {
    const { DatabaseSync } = quietly(() => builtin("node:sqlite"));
    if (new DatabaseSync(":memory:").isTransaction === false) return nodeSqlite(DatabaseSync);
    throw new Error("it is too old: Deno 2.4 or Node 22.16 is needed");
  },
};

let wanted: DriverName | undefined;
let chosen: Driver | undefined;

/**
 * Names the library of this process, in place of `$EVENTSPOOL_SQLITE`.
 *
 * @throws {ConfigurationError} the process uses another one already
 */
export function useDriver(name: DriverName): void {
  if (chosen !== undefined && chosen.name !== name) {
    const problem = `is ${name}, and this process uses ${chosen.name} already: pass the same to the first queue that it opens.`;
    throw new ConfigurationError(problem, { key: "driver" });
  }
  wanted = name;
}

/**
 * Opens a file that exists, with the library of this process.
 *
 * The library is chosen at the first call: that of {@link useDriver}, else of `$EVENTSPOOL_SQLITE`, else the first of
 * {@link DRIVER_NAMES} that loads. So better-sqlite3 is the default, and the runtime's own SQLite is used where the
 * addon cannot be loaded: in a bundle, on an unusual system, under Deno without `--allow-ffi`.
 *
 * @throws {ConfigurationError} `$EVENTSPOOL_SQLITE` is not the name of a library
 * @throws {EventStorageError} `NO_ADDON`: no library loads; `OLD_RUNTIME`: only better-sqlite3 could be used, and it
 * crashes this runtime; `TWO_LIBRARIES`: this process has the file open with another library
 * @throws SQLite's error, with its code
 */
export function openDatabase(path: string, options: OpenOptions): Database {
  chosen ??= chooseDriver(path);
  const onClose = useLibrary(path, libraryOf(chosen.library));
  try {
    const db = chosen.open(path, { ...options, onClose });
    // Debian builds SQLite with it on: then a drain writes 1.5 x as many pages.
    db.pragma("secure_delete = OFF");
    return db;
  } catch (error) {
    onClose();
    throw error;
  }
}

function chooseDriver(path: string): Driver {
  const driver = load(path, wanted === undefined ? namedDrivers(readEnv("EVENTSPOOL_SQLITE")) : [wanted]);
  logChoice(driver.name);
  return driver;
}

function namedDrivers(name: string | undefined): readonly DriverName[] {
  if (!name) return DRIVER_NAMES;
  if ((DRIVER_NAMES as readonly string[]).includes(name)) return [name as DriverName];
  throw new ConfigurationError(`must be one of ${DRIVER_NAMES.join(", ")}, got ${JSON.stringify(name)}.`, {
    key: "EVENTSPOOL_SQLITE",
  });
}

function load(path: string, names: readonly DriverName[]): Driver {
  const problems: string[] = [];
  let oldRuntime: EventStorageError | undefined;
  for (const name of names)
    try {
      return LOADERS[name](path);
    } catch (error) {
      if (error instanceof EventStorageError) oldRuntime = error;
      const [line] = (error instanceof Error ? error.message : String(error)).split("\n");
      problems.push(`${name}: ${line}`);
    }
  if (oldRuntime !== undefined) throw oldRuntime;
  const { platform, arch } = process;
  const problem = `The queue file ${path} cannot be opened: no SQLite library loads on ${platform}-${arch} (${problems.join("; ")}). Install the package better-sqlite3, or use Bun, Deno 2.4 or Node 22.16, or later, which have SQLite built in.`;
  throw new EventStorageError("NO_ADDON", path, problem);
}

/** LogTape takes 20 ms to load, so it is left to a service that has loaded it already: only there does anybody listen. */
function logChoice(name: DriverName): void {
  if (!(Symbol.for("logtape.rootLogger") in globalThis)) return;
  import("@logtape/logtape").then(
    ({ getLogger }) => getLogger(["eventspool", "storage"]).debug("SQLite library: {name}", { name }),
    () => {},
  );
}

// biome-ignore lint/suspicious/noExplicitAny: what a package exports, which its adapter describes
function requirePackage(name: string): any {
  const require: NodeJS.Require = builtin("node:module").createRequire(import.meta.url || __filename); // a bundle of CommonJS has only the latter
  // Where there is no node_modules at all, Bun would download the package.
  const isInstalled = (folder: string) => existsSync(join(folder, name));
  if (process.versions.bun && !require.resolve.paths(name)?.some(isInstalled))
    throw new Error("it is not installed");
  return require(name);
}

// biome-ignore lint/suspicious/noExplicitAny: as above
function builtin(name: string): any {
  const module = process.getBuiltinModule(name);
  if (module === undefined) throw new Error("this runtime does not have it");
  return module;
}

/** Node 22 prints an ExperimentalWarning when node:sqlite is loaded, once; what is used of it has not changed since. */
function quietly<T>(load: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** Deno may forbid it (`--allow-env`): then it counts as not set. */
function readEnv(name: string): string | undefined {
  try {
    return process.env[name];
  } catch {
    return undefined;
  }
}

// Which SQLite library has which database open in this process.
//
// POSIX locks belong to the process: when one library closes a file, the locks of every other are gone, and two
// writers write at once ("successful" puts were lost in that way). One library alone knows of all its connections.
// All copies of this module in the process share what they know: a program may have two versions of eventspool.

interface Use {
  readonly library: object;
  count: number;
}

const USES = Symbol.for("eventspool.libraries");
const shared = globalThis as { [USES]?: Map<string, Use> };
shared[USES] ??= new Map();
const uses: Map<string, Use> = shared[USES];

/** What stands for the library of a connection: its class, or the one that it is derived from. Two copies of one are two. */
export function libraryOf(connection: object): object {
  let library = connection;
  for (let next = parentOf(library); next !== null && next !== Object.prototype; next = parentOf(library))
    library = next;
  return library;
}

function parentOf(value: object): object | null {
  return Object.getPrototypeOf(value) as object | null;
}

/**
 * Notes that a library has a database open. Returns what to call when it is closed.
 *
 * @param path an absolute path @param library of {@link libraryOf}
 * @throws {EventStorageError} `TWO_LIBRARIES`: this process has it open with another one
 */
export function useLibrary(path: string, library: object): () => void {
  const key = realPath(path);
  const use = uses.get(key) ?? { library, count: 0 };
  if (use.library !== library) {
    const problem = `The database ${path} is open in this process with another SQLite library, and two of them break each other's locks: run the publisher, or whatever else uses it, as a process of its own.`;
    throw new EventStorageError("TWO_LIBRARIES", path, problem);
  }
  use.count++;
  uses.set(key, use);
  let isOpen = true;
  return () => {
    if (isOpen && --use.count === 0) uses.delete(key);
    isOpen = false;
  };
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // SQLite says why
  }
}
