import { closeSync, fdatasync, fstatSync, fsyncSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { promisify } from "node:util";

const fdatasyncAsync = promisify(fdatasync);

/** A file that is only ever appended to, or cut off. */
export class AppendFile {
  readonly #file: number;
  #sizeBytes: number;

  /** Opens or creates it. @throws the system's error */
  constructor(path: string) {
    this.#file = openSync(path, "a+");
    this.#sizeBytes = fstatSync(this.#file).size;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Its descriptor, to read from. */
  get descriptor(): number {
    return this.#file;
  }

  /** Appends data. When it throws, part of it may be there: see {@link cutTo}. */
  append(data: Buffer): void {
    for (let written = 0; written < data.length; ) {
      const count = writeSync(this.#file, data, written);
      written += count;
      this.#sizeBytes += count;
    }
  }

  /** Cuts off what is beyond a size. */
  cutTo(sizeBytes: number): void {
    ftruncateSync(this.#file, sizeBytes);
    this.#sizeBytes = sizeBytes;
  }

  /** Believes a size that somebody else has given it. */
  noteSize(sizeBytes: number): void {
    this.#sizeBytes = sizeBytes;
  }

  /** Resolves when all that was appended is on the disk; the event loop goes on. */
  sync(): Promise<void> {
    return fdatasyncAsync(this.#file);
  }

  /** Returns when all that was appended is on the disk. */
  syncNow(): void {
    fsyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Has a directory's new and renamed files on the disk. Systems that cannot sync directories do it by themselves. */
export function syncDirectory(path: string): void {
  try {
    const directory = openSync(path, "r");
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!["EISDIR", "EPERM", "EACCES", "EINVAL", "ENOTSUP", "EBADF"].includes(code)) throw error;
  }
}
