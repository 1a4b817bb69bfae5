/**
 * Refuses runtimes that SQLite's addon does not run in. They do not tell: they crash.
 *
 * @module
 */
import process from "node:process";
import { EventStorageError } from "../errors.ts";

/**
 * The oldest that run better-sqlite3 13, found by trying: Bun 1.4.0 panics (`NAPI FATAL ERROR`), Node 22.13 ends
 * with a segmentation fault. Deno has run it since 2.0. `engines` in package.json says the same.
 */
const OLDEST_BUN = "1.4.1";
const OLDEST_NODE = "22.14.0";

/** The part of `process.versions` that tells the runtimes apart: Bun and Deno have a Node version, too. */
export interface RuntimeVersions {
  readonly bun?: string | undefined;
  readonly deno?: string | undefined;
  readonly node: string;
}

/** @throws {EventStorageError} `OLD_RUNTIME`: the runtime would crash when it opens the file */
export function checkRuntime(path: string, { bun, deno, node }: RuntimeVersions = process.versions): void {
  if (bun !== undefined) refuseOlder(path, "Bun", bun, OLDEST_BUN);
  else if (deno === undefined) refuseOlder(path, "Node", node, OLDEST_NODE);
}

function refuseOlder(path: string, name: string, version: string, oldest: string): void {
  if (version.localeCompare(oldest, "en", { numeric: true }) >= 0) return;
  const problem = `The file ${path} is not opened: ${name} ${version} crashes in SQLite's addon. Upgrade to ${name} ${oldest} or later.`;
  throw new EventStorageError("OLD_RUNTIME", path, problem);
}
