/**
 * Where test queues are.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** Linux has a file system in memory here: a queue is opened and gone in 3 ms, and on a busy disk it was 55. */
const MEMORY = "/dev/shm";

const PREFIX = "eventspool-test-";

const toRemove = new Set<string>();
let willRemove = false;

/**
 * Makes a directory in memory, where there is such a place, else in the system's one for temporary files. It goes
 * with the process at the latest.
 */
export function makeMemoryDirectory(): string {
  const path = makeIn(MEMORY) ?? mkdtempSync(join(tmpdir(), PREFIX));
  removeAtExit();
  toRemove.add(path);
  return path;
}

/** Removes one, with all that is in it. */
export function removeMemoryDirectory(path: string): void {
  rmSync(path, { recursive: true, force: true });
  toRemove.delete(path);
}

function makeIn(directory: string): string | undefined {
  try {
    return mkdtempSync(join(directory, PREFIX));
  } catch {
    return undefined; // not there, or not for us
  }
}

function removeAtExit(): void {
  if (willRemove) return;
  willRemove = true;
  process.once("exit", removeAll);
  // What `deno test` does at the end of a file, instead of "exit".
  const { addEventListener } = globalThis as {
    addEventListener?: (type: "unload", listener: () => void) => void;
  };
  addEventListener?.("unload", removeAll);
}

function removeAll(): void {
  for (const path of toRemove) rmSync(path, { recursive: true, force: true });
}
