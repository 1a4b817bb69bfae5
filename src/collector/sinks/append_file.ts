import {
  closeSync,
  constants,
  fchmodSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  writeSync,
} from "node:fs";
import { promisify } from "node:util";

const fdatasyncAsync = promisify(fdatasync);

/** The mode of files that are made until someone says otherwise: events are nobody else's business. */
export const DEFAULT_OUTPUT_MODE = 0o600;

/** Makes a file with this mode, whatever the umask; undefined: there is something of that name, a link included. */
export function createFile(path: string, mode: number): number | undefined {
  const { O_APPEND, O_CREAT, O_EXCL, O_RDWR } = constants;
  let file: number;
  try {
    file = openSync(path, O_APPEND | O_CREAT | O_EXCL | O_RDWR, mode);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    throw error;
  }
  fchmodSync(file, mode);
  return file;
}

/** A file that is only ever appended to, or cut off. */
export class AppendFile {
  readonly inode: number;
  readonly #file: number;
  #sizeBytes: number;

  /** Opens it as it is, or creates it with a mode. @throws the system's error */
  constructor(path: string, mode: number = DEFAULT_OUTPUT_MODE) {
    this.#file = createFile(path, mode) ?? openSync(path, "a+", mode); // also made where a link points to
    ({ size: this.#sizeBytes, ino: this.inode } = fstatSync(this.#file));
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
