/**
 * Which SQLite library has which database open in this process.
 *
 * POSIX locks belong to the process: when one library closes a file, the locks of every other are gone, and two
 * writers write at once ("successful" puts were lost in that way). One library alone knows of all its connections.
 *
 * @module
 */
import { realpathSync } from "node:fs";
import { EventStorageError } from "../errors.ts";

interface Use {
  readonly library: object;
  count: number;
}

const uses = new Map<string, Use>();

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
