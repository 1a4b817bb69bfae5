import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { EventStorageError } from "../errors.ts";

/** The longest last line that is believed to be torn, in bytes: more than any batch has. */
const MAX_TORN_BYTES = 1_048_576;

const NEWLINE = 0x0a;

/**
 * Appends events to a file, one JSON text a line. Data is with the operating system when `append`
 * returns: it survives a crash of this process, not one of the machine. For one process at a time.
 */
export class JsonLinesSink {
  readonly #file: number;

  /**
   * Opens or creates the file. A last line without an end is cut off: a crash tore it, so the
   * publisher never heard that it arrived, and sends it again.
   *
   * @throws {EventStorageError} when the file cannot be opened, or has no lines.
   */
  constructor(path: string) {
    try {
      this.#file = openSync(path, "a+");
    } catch (error) {
      throw describeOpenError(error as NodeJS.ErrnoException, path);
    }
    cutTornLine(this.#file, path);
  }

  /**
   * Appends events in one piece and in order: all of them, or none when it throws.
   *
   * @throws the system's error, such as ENOSPC.
   */
  append(events: readonly string[]): void {
    const size = fstatSync(this.#file).size;
    try {
      writeAll(this.#file, Buffer.from(events.map(toLine).join("")));
    } catch (error) {
      ftruncateSync(this.#file, size);
      throw error;
    }
  }

  /** Closes the file. */
  close(): void {
    closeSync(this.#file);
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** In valid JSON a raw line feed is white space only, and may as well be a space. */
function toLine(event: string): string {
  return `${event.replaceAll("\n", " ")}\n`;
}

function writeAll(file: number, data: Buffer): void {
  for (let written = 0; written < data.length; ) written += writeSync(file, data, written);
}

function cutTornLine(file: number, path: string): void {
  const size = fstatSync(file).size;
  const tail = Buffer.alloc(Math.min(size, MAX_TORN_BYTES));
  readSync(file, tail, 0, tail.length, size - tail.length);
  const end = tail.lastIndexOf(NEWLINE) + 1;
  if (end === 0 && size > MAX_TORN_BYTES) throw notJsonLines(path);
  if (end < tail.length) ftruncateSync(file, size - tail.length + end);
}

function describeOpenError(error: NodeJS.ErrnoException, path: string): EventStorageError {
  const problem = `Cannot open ${path} for appending: ${error.message}. Choose a file in a directory that this user may write to.`;
  return new EventStorageError(error.code ?? "UNKNOWN", path, problem, { cause: error });
}

function notJsonLines(path: string): EventStorageError {
  return new EventStorageError(
    "NOT_JSON_LINES",
    path,
    `${path} has no line end in its last ${MAX_TORN_BYTES} bytes, so it is not a file of JSON lines: choose another.`,
  );
}
