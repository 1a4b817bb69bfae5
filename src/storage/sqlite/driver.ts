/**
 * Which SQLite library this process uses.
 *
 * @module
 */
import process from "node:process";
import { getLogger } from "@logtape/logtape";
import { ConfigurationError, EventStorageError } from "../../errors.ts";
import { betterSqlite3 } from "./better_sqlite3.ts";
import { bunSqlite } from "./bun_sqlite.ts";
import { nodeSqlite } from "./node_sqlite.ts";
import type { Driver } from "./sqlite.ts";

/** The libraries by the names that `$EVENTSPOOL_SQLITE` takes, in the order in which they are tried. */
export const DRIVER_NAMES: readonly DriverName[] = ["better-sqlite3", "bun:sqlite", "node:sqlite"];

/** The name of a SQLite library. */
export type DriverName = Driver["name"];

const LOADERS: Readonly<Record<DriverName, () => Driver>> = {
  "better-sqlite3": () => {
    const library = requirePackage("better-sqlite3");
    new library(":memory:").close(); // only now does it load its addon
    return betterSqlite3(library);
  },
  "bun:sqlite": () => bunSqlite(builtin("bun:sqlite").Database),
  "node:sqlite": () => nodeSqlite(quietly(() => builtin("node:sqlite")).DatabaseSync),
};

let chosen: Driver | undefined;

/**
 * The library of this process, chosen at the first call: `$EVENTSPOOL_SQLITE` if it is set, else the first of
 * {@link DRIVER_NAMES} that loads. better-sqlite3 is the default, and the runtime's own SQLite does where its addon is
 * missing: in a bundle, on an unusual system, under Deno without `--allow-ffi`.
 *
 * One library for the whole process, since two on one file break each other's locks.
 *
 * @param path the file that is to be opened, for errors
 * @throws {ConfigurationError} `$EVENTSPOOL_SQLITE` is not the name of a library
 * @throws {EventStorageError} `NO_ADDON`: none of them loads
 */
export function sqliteDriver(path: string): Driver {
  chosen ??= load(path, wantedDrivers(readEnv("EVENTSPOOL_SQLITE")));
  return chosen;
}

function wantedDrivers(name: string | undefined): readonly DriverName[] {
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
      const driver = LOADERS[name]();
      getLogger(["eventspool", "storage"]).debug("SQLite library: {name}", { name });
      return driver;
    } catch (error) {
      const [line] = (error instanceof Error ? error.message : String(error)).split("\n");
      problems.push(`${name}: ${line}`);
    }
  const { platform, arch } = process;
  const problem = `The queue file ${path} cannot be opened: no SQLite library loads on ${platform}-${arch} (${problems.join("; ")}). Install the package better-sqlite3, or use Bun, Deno 2.2 or Node 22.14, or later, which have SQLite built in.`;
  throw new EventStorageError("NO_ADDON", path, problem);
}

// biome-ignore lint/suspicious/noExplicitAny: what a package exports, which its adapter describes
function requirePackage(name: string): any {
  // import.meta.url is empty in a bundle of CommonJS; the working directory does there.
  const { createRequire } = builtin("node:module");
  return createRequire(import.meta.url || `${process.cwd()}/`)(name);
}

// biome-ignore lint/suspicious/noExplicitAny: as above
function builtin(name: string): any {
  const module = process.getBuiltinModule(name);
  if (module === undefined) throw new Error(`this runtime has no ${name}`);
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

/** Deno may forbid it (`--allow-env`): then it is as good as not set. */
function readEnv(name: string): string | undefined {
  try {
    return process.env[name];
  } catch {
    return undefined;
  }
}
