import { accessSync, constants, statSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { formatMode } from "./format.ts";

const REASONS: Readonly<Record<string, string>> = {
  EISDIR: "it is a directory",
  EROFS: "the file system is read-only: choose another path, or mount it writable",
  ENOSPC: "no space is left on the disk: free some",
  EDQUOT: "the disk quota of this user is used up: free some space",
  EMFILE: "this process has too many open files: raise its limit (ulimit -n)",
  ENFILE: "the system has too many open files",
  ELOOP: "it is a chain of symbolic links without an end",
  ENAMETOOLONG: "the path is too long",
};

/**
 * Says why a file cannot be used and what to do, to follow "cannot read FILE: ". Names the owner of what cannot be
 * accessed and the directory that does not exist.
 */
export function explainFileError(error: unknown, path: string): string {
  const { code = "", message } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ENOTDIR") return explainMissing(path);
  if (code === "EACCES" || code === "EPERM") return explainDenied(path);
  return REASONS[code] ?? message;
}

/**
 * Checks that a file can be read to its end. Opening a named pipe would block the process until someone writes to it. The
 * pipes of a shell, such as `<(decrypt FILE)`, are in /dev or /proc.
 *
 * @throws as `readFileSync` does; an error for a directory and for a named pipe
 */
export function assertReadable(path: string): void {
  const stats = statSync(path);
  if (stats.isDirectory()) throw Object.assign(new Error(REASONS.EISDIR), { code: "EISDIR" });
  if (stats.isFIFO() && !/^\/(?:dev|proc)\//.test(path))
    throw new Error("it is a named pipe: name a regular file");
}

/** The system's code; without one, the message: Deno says there which permission is missing. */
export function codeOrMessage(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

function explainMissing(path: string): string {
  const directory = dirname(path);
  const found = nearest(directory);
  if (found?.isDirectory === false) return `${found.path} is not a directory`;
  if (found === undefined || found.path === directory) return "the file does not exist";
  return `the directory ${directory} does not exist`;
}

function explainDenied(path: string): string {
  const found = nearest(path);
  if (found !== undefined && found.path !== path && found.path !== dirname(path) && canSearch(found.path))
    return explainMissing(path); // Node says EACCES of a socket in a missing directory
  const user = process.geteuid?.(); // the one that the system checks
  if (found === undefined || user === undefined) return "permission denied";
  const what = found.path === path ? "it" : found.path;
  return `permission denied: ${what} belongs to uid ${found.uid} (mode ${formatMode(found.mode)}), and this process runs as uid ${user}`;
}

function canSearch(directory: string): boolean {
  try {
    accessSync(directory, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The path, or the nearest directory above it that exists and can be looked at. */
function nearest(
  path: string,
): { path: string; uid: number; mode: number; isDirectory: boolean } | undefined {
  for (let at = path; ; at = dirname(at)) {
    try {
      const found = statSync(at);
      return { path: at, uid: found.uid, mode: found.mode, isDirectory: found.isDirectory() };
    } catch {
      if (dirname(at) === at) return undefined;
    }
  }
}
