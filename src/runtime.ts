/**
 * Which runtimes run eventspool, and what one of them does not let us read. A command asks this before it loads anything
 * else, so this module imports nothing of ours and uses nothing that is newer than what it rejects.
 */
import process from "node:process";

/** The part of `process.versions` that distinguishes the runtimes: Bun and Deno have a Node version, too. */
export interface RuntimeVersions {
  readonly bun?: string | undefined;
  readonly deno?: string | undefined;
  readonly node: string;
}

/** A runtime that is too old. */
export interface OldRuntime {
  readonly name: "Bun" | "Deno" | "Node";
  /** Its version. */
  readonly found: string;
  /** The oldest version that works. */
  readonly needed: string;
}

/**
 * The oldest versions that work, found by trying. With better-sqlite3 13, Bun 1.4.0 panics (`NAPI FATAL ERROR`) and Node
 * 22.13 ends with a segmentation fault. Deno 2.6 has no `DatabaseSync.isTransaction`, under 2.5 a publisher
 * reports "Object not disposable", 2.3.0 has no `fchmod`. `engines` in package.json says the same.
 */
const OLDEST: Readonly<Record<OldRuntime["name"], string>> = { Bun: "1.4.1", Deno: "2.7.1", Node: "22.14.0" };

/** This runtime, if it is too old. */
export function oldRuntime({ bun, deno, node }: RuntimeVersions = process.versions): OldRuntime | undefined {
  const name = bun !== undefined ? "Bun" : deno !== undefined ? "Deno" : "Node";
  const found = bun ?? deno ?? node;
  const needed = OLDEST[name];
  return found.localeCompare(needed, "en", { numeric: true }) < 0 ? { name, found, needed } : undefined;
}

/** Ends a command with 2 and one sentence if this runtime is too old for it. */
export function rejectOldRuntime(command: string): void {
  const old = oldRuntime();
  if (old === undefined) return;
  const { name, found, needed } = old;
  console.error(`${command}: ${name} ${found} is too old: upgrade to ${name} ${needed} or later.`);
  process.exit(2);
}

/** A variable of the environment; undefined also if Deno forbids it (no `--allow-env`). */
export function environmentVariable(name: string): string | undefined {
  try {
    return process.env[name];
  } catch {
    return undefined;
  }
}
