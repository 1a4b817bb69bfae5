/**
 * Files that are made under another name first, and appear under their own when they are whole.
 *
 * @module
 */
import { lstatSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** A file that nobody has written to for so long, in milliseconds, was left by a process that was killed. */
const ABANDONED_AFTER_MS = 10_000;

/** What is added to a file's name; SQLite adds its own. */
const SUFFIX = /^-tmp-[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}(?:-wal|-shm|-journal)?$/;

/** Where to make a file before it gets its own name, in the same directory. Nobody can know it before: open it with `wx`. */
export function temporaryPathFor(path: string): string {
  return `${path}-tmp-${crypto.randomUUID()}`;
}

/** Removes what killed processes have left of {@link temporaryPathFor} a path. What cannot be removed stays. */
export function removeAbandoned(path: string): void {
  try {
    for (const left of temporaryPathsOf(path))
      if (Date.now() - lstatSync(left).mtimeMs > ABANDONED_AFTER_MS) rmSync(left, { force: true });
  } catch {
    // gone meanwhile, or not ours to remove: it only takes space
  }
}

/** The files that are there of {@link temporaryPathFor} a path. @throws the system's error */
export function temporaryPathsOf(path: string): string[] {
  const directory = dirname(path);
  const own = basename(path);
  return readdirSync(directory)
    .filter((name) => name.startsWith(own) && SUFFIX.test(name.slice(own.length)))
    .map((name) => join(directory, name));
}
