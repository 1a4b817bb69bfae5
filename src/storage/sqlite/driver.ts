/** Chooses the SQLite library of the process, and keeps track of the databases that are open. */
import { existsSync, realpathSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { ConfigurationError, EventStorageError } from "../../errors.ts";
import { environmentVariable, oldRuntime, type RuntimeVersions } from "../../runtime.ts";
import { betterSqlite3 } from "./better_sqlite3.ts";
import { bunSqlite } from "./bun_sqlite.ts";
import { nodeSqlite } from "./node_sqlite.ts";
import type { Database, Driver, DriverName, OpenOptions } from "./sqlite.ts";

/** The SQLite libraries by their names, in the order in which they are tried. */
export const DRIVER_NAMES: readonly DriverName[] = ["better-sqlite3", "bun:sqlite", "node:sqlite"];

const LOADERS: Readonly<Record<DriverName, () => Driver>> = {
  "better-sqlite3": () => {
    const library = requirePackage("better-sqlite3");
    new library(":memory:").close(); // loads the addon
    return betterSqlite3(library);
  },
  "bun:sqlite": () => bunSqlite(builtin("bun:sqlite").Database),
  "node:sqlite": () => {
    const { DatabaseSync } = quietly(() => builtin("node:sqlite"));
    if (new DatabaseSync(":memory:").isTransaction === false) return nodeSqlite(DatabaseSync);
    throw new Error("too old: Node 22.16 is needed");
  },
};

let wanted: DriverName | undefined;
let chosen: Driver | undefined;

/**
 * Sets the library of this process; it takes precedence over `$EVENTSPOOL_SQLITE`.
 *
 * @throws {ConfigurationError} the process uses another one already
 */
export function useDriver(name: DriverName): void {
  if (chosen !== undefined && chosen.name !== name) {
    const problem = `is ${name}, and this process already uses ${chosen.name}: pass the driver to the first queue that the process opens.`;
    throw new ConfigurationError(problem, { key: "driver" });
  }
  wanted = name;
}

/**
 * Opens an existing file with the library of this process.
 *
 * The library is chosen at the first call: that of {@link useDriver}, else of `$EVENTSPOOL_SQLITE`, else the first of
 * {@link DRIVER_NAMES} that loads. So better-sqlite3 is the default, and the runtime's own SQLite is used where the
 * addon cannot be loaded: in a bundle, on an unusual system, under Deno without `--allow-ffi`.
 *
 * @throws {ConfigurationError} `$EVENTSPOOL_SQLITE` is not the name of a library
 * @throws {EventStorageError} `OLD_RUNTIME`: this runtime is too old; `NO_ADDON`: no library loads;
 * `TWO_LIBRARIES`: another library has the file open in this process
 * @throws SQLite's error, with its code
 */
export function openDatabase(path: string, options: OpenOptions): Database {
  const driver = loadDriver(path);
  const onClose = useLibrary(path, libraryOf(driver.library));
  try {
    const db = driver.open(path, { ...options, onClose });
    // Debian's SQLite has it on by default; then a drain writes 1.5 times as many pages.
    db.pragma("secure_delete = OFF");
    return db;
  } catch (error) {
    onClose();
    throw error;
  }
}

/** Loads the library at the first call; its errors name `path`. @throws as {@link openDatabase} */
export function loadDriver(path: string): Driver {
  chosen ??= chooseDriver(path);
  return chosen;
}

function chooseDriver(path: string): Driver {
  checkRuntime(path);
  const driver = load(
    path,
    wanted === undefined ? namedDrivers(environmentVariable("EVENTSPOOL_SQLITE")) : [wanted],
  );
  logChoice(driver.name);
  return driver;
}

/** @throws {EventStorageError} `OLD_RUNTIME`: SQLite or this code would crash under this runtime */
export function checkRuntime(path: string, versions?: RuntimeVersions): void {
  const old = oldRuntime(versions);
  if (old === undefined) return;
  const { name, found, needed } = old;
  const problem = `The file ${path} is not opened: ${name} ${found} is too old: upgrade to ${name} ${needed} or later.`;
  throw new EventStorageError("OLD_RUNTIME", path, problem);
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
  for (const name of names)
    try {
      return LOADERS[name]();
    } catch (error) {
      const [line] = (error instanceof Error ? error.message : String(error)).split("\n");
      problems.push(`${name}: ${line}`);
    }
  const { platform, arch } = process;
  const problem = `The queue file ${path} cannot be opened: no SQLite library loads on ${platform}-${arch} (${problems.join("; ")}). Install the package better-sqlite3, or use Bun, Deno or Node 22.16, or later, which have SQLite built in.`;
  throw new EventStorageError("NO_ADDON", path, problem);
}

/** LogTape takes 20 ms to load, so this logs only if the service has loaded it; otherwise nobody reads the log. */
function logChoice(name: DriverName): void {
  if (!(Symbol.for("logtape.rootLogger") in globalThis)) return;
  import("@logtape/logtape").then(
    ({ getLogger }) => getLogger(["eventspool", "storage"]).debug("SQLite library: {name}", { name }),
    () => {},
  );
}

// biome-ignore lint/suspicious/noExplicitAny: the exports of a package; its adapter has the types
function requirePackage(name: string): any {
  const require: NodeJS.Require = builtin("node:module").createRequire(import.meta.url || __filename); // a CommonJS bundle has only the latter
  // Without any node_modules Bun would download the package.
  const isInstalled = (folder: string) => existsSync(join(folder, name));
  if (process.versions.bun && !require.resolve.paths(name)?.some(isInstalled))
    throw new Error("not installed");
  return require(name);
}

// biome-ignore lint/suspicious/noExplicitAny: as above
function builtin(name: string): any {
  const module = process.getBuiltinModule(name);
  if (module === undefined) throw new Error("not part of this runtime");
  return module;
}

/** Hides the ExperimentalWarning of Node 22 for node:sqlite. The part that is used has not changed since. */
function quietly<T>(load: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}

// The databases that are open in this process, with the SQLite library that opened each.
//
// POSIX locks belong to the process: when one library closes a file, the locks of all others are released, and two
// writers write at once ("successful" puts were lost this way). A library knows only its own connections.
// All copies of this module in a process share this map, because a program may have two versions of eventspool.

interface Use {
  readonly library: object;
  count: number;
}

const USES = Symbol.for("eventspool.libraries");
const shared = globalThis as { [USES]?: Map<string, Use> };
shared[USES] ??= new Map();
const uses: Map<string, Use> = shared[USES];

/** Identifies the library of a connection: the base class of the connection. Two copies of a package are two libraries. */
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
 * Registers a database that a library has opened. Returns a function to call when it is closed.
 *
 * @param path an absolute path @param library the result of {@link libraryOf}
 * @throws {EventStorageError} `TWO_LIBRARIES`: another library has it open in this process
 */
export function useLibrary(path: string, library: object): () => void {
  const key = realPath(path);
  const use = uses.get(key) ?? { library, count: 0 };
  if (use.library !== library) {
    const problem = `The database ${path} is open in this process with another SQLite library, and two libraries break each other's locks: use one library (option driver, $EVENTSPOOL_SQLITE), or run the publisher as a process of its own.`;
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
    return path; // SQLite reports the reason
  }
}
