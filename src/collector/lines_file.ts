/**
 * A file of JSON lines: opened, and mended after a crash.
 *
 * @module
 */
import { fstatSync, readSync } from "node:fs";
import { getLogger } from "@logtape/logtape";
import { EventStorageError } from "../errors.ts";
import { AppendFile } from "./append_file.ts";
import { type Recovered, recover } from "./id_journal.ts";

/** The longest last line that is believed to be torn, in bytes: more than any batch has. */
const MAX_TORN_BYTES = 1_048_576;

const NEWLINE = 0x0a;

/** What a SQLite database begins with: `sink = sqlite` was here before, or is meant. */
const SQLITE_MAGIC = "SQLite format 3\0";

const logger = getLogger(["eventspool", "collector"]);

/** Opens or creates one. @throws {EventStorageError} it cannot be opened, or is no file */
export function openLinesFile(path: string): AppendFile {
  let file: AppendFile;
  try {
    file = new AppendFile(path);
  } catch (cause) {
    const { code = "UNKNOWN", message } = cause as NodeJS.ErrnoException;
    const problem = `Cannot open ${path} for appending: ${message}. Choose a file in a directory that this user may write to.`;
    throw new EventStorageError(code, path, problem, { cause });
  }
  if (fstatSync(file.descriptor).isFile()) return file;
  file.close();
  throw new EventStorageError("NOT_A_FILE", path, `${path} is not a regular file: choose another.`);
}

/**
 * Finds out by its journal what of a file is whole, and cuts off the rest: nobody was told that it arrived. Where
 * the journal does not reach that far, only a last line without an end is cut off.
 *
 * @throws {EventStorageError} `NOT_JSON_LINES`
 */
export function mendLinesFile(file: AppendFile, path: string, journalPath: string): Recovered {
  const foundBytes = file.sizeBytes;
  const recovered = recover(journalPath, foundBytes);
  const wholeBytes = recovered.wholeBytes ?? endOfLastLine(file, path);
  if (wholeBytes < foundBytes) {
    file.cutTo(wholeBytes);
    const cutBytes = foundBytes - wholeBytes;
    logger.warn("Cut {cutBytes} bytes off {path}: a batch that was never answered", { cutBytes, path });
  }
  return recovered;
}

function endOfLastLine(file: AppendFile, path: string): number {
  const { sizeBytes, descriptor } = file;
  const head = Buffer.alloc(SQLITE_MAGIC.length);
  readSync(descriptor, head, 0, head.length, 0);
  const tail = Buffer.alloc(Math.min(sizeBytes, MAX_TORN_BYTES));
  readSync(descriptor, tail, 0, tail.length, sizeBytes - tail.length);
  const end = tail.lastIndexOf(NEWLINE) + 1;
  const isOther = head.toString("latin1") === SQLITE_MAGIC || (end === 0 && sizeBytes > MAX_TORN_BYTES);
  if (isOther) throw notJsonLines(path);
  return sizeBytes - tail.length + end;
}

function notJsonLines(path: string): EventStorageError {
  const problem = `${path} is not a file of JSON lines: it has no line end in its last ${MAX_TORN_BYTES} bytes, or is a SQLite database. Choose another.`;
  return new EventStorageError("NOT_JSON_LINES", path, problem);
}

/** Turns the system's error into one that says what to do. */
export function describeWriteError(error: unknown, path: string): EventStorageError {
  if (error instanceof EventStorageError) return error;
  const { code = "UNKNOWN", message } = error as NodeJS.ErrnoException;
  const advice = code === "ENOSPC" || code === "EDQUOT" ? "free some space" : "see to the disk";
  const problem = `Cannot write to ${path}: ${message}. Nothing of the batch was kept: ${advice}.`;
  return new EventStorageError(code, path, problem, { cause: error });
}

/** What a file is once it is not known what it holds. */
export function unusable(path: string, cause: unknown): EventStorageError {
  const { code = "UNKNOWN", message } = cause as NodeJS.ErrnoException;
  const problem = `${path} cannot be used any more: ${message}. See to the disk, and restart the collector, which mends the file.`;
  return new EventStorageError(code, path, problem, { cause });
}
