import { existsSync, fstatSync, readSync, realpathSync, renameSync } from "node:fs";
import { dirname, extname } from "node:path";
import { crc32 } from "node:zlib";
import { getLogger } from "@logtape/logtape";
import { EventStorageError } from "../../errors.ts";
import type { EventIds } from "../../wire/event_ids.ts";
import type { DedupIndex } from "../dedup/index.ts";
import { AppendFile, syncDirectory } from "./append_file.ts";
import {
  type JournalBatch,
  type JournalHeader,
  JsonlJournal,
  type Recovered,
  recover,
} from "./jsonl_journal.ts";
import { OutputLock } from "./output_lock.ts";
import type { EventList } from "./sink.ts";

/** What is to be written of a batch. */
export interface BatchLines {
  readonly events: EventList;
  /** How large its lines are, in bytes. */
  readonly sizeBytes: number;
  /** How many events the batch had, also those that are not to be written. */
  readonly eventCount: number;
  readonly source: string;
  readonly ids: EventIds | undefined;
}

const logger = getLogger(["eventspool", "collector"]);

/** A file of JSON lines with its journal and its lock, and the files that come after it. */
export class JsonlOutput {
  /** The file's path, free of links. */
  readonly path: string;
  /** The ids of what is kept. */
  readonly seen: DedupIndex;
  readonly #mode: number;
  readonly #lock: OutputLock;
  readonly #journal: JsonlJournal;
  #file: AppendFile;
  #openedAtMs: number;
  #rotationCount: number;
  /** How long both files were before the last append, in bytes. */
  #before = { fileBytes: 0, journalBytes: 0 };
  /** How much of the file is on the disk, in bytes. */
  #syncedBytes: number;
  /** Why nothing more can be written. */
  #failure: EventStorageError | undefined;

  /** @param mode of files that are made @throws {EventStorageError} */
  constructor(path: string, mode: number) {
    this.#mode = mode;
    this.#file = openLinesFile(path, mode);
    try {
      this.path = realpathSync(path); // or a link would be rotated, and not what it points to
      this.#lock = new OutputLock(this.path);
    } catch (error) {
      this.#file.close();
      throw describeWriteError(error, path);
    }
    try {
      const journalPath = `${this.path}.journal`;
      const found = repairLinesFile(this.#file, this.path, journalPath);
      this.seen = found.seen;
      this.#openedAtMs = found.openedAtMs;
      this.#rotationCount = found.rotationCount;
      this.#file.syncNow();
      this.#syncedBytes = this.#file.sizeBytes;
      this.#journal = new JsonlJournal(journalPath, this.#header(), { seen: this.seen, mode });
    } catch (error) {
      this.#file.close();
      this.#lock.release();
      throw describeWriteError(error, path);
    }
  }

  get sizeBytes(): number {
    return this.#file.sizeBytes;
  }

  /** When the file got its first event, in milliseconds since 1970; after a restart, when it was begun. */
  get openedAtMs(): number {
    return this.#openedAtMs;
  }

  /** Appends batches: all of them or, when it throws, nothing. @throws {EventStorageError} */
  append(batches: readonly BatchLines[]): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.sizeBytes === 0) this.#openedAtMs = Date.now();
    this.#before = { fileBytes: this.sizeBytes, journalBytes: this.#journal.sizeBytes };
    try {
      const lines = batches.map(({ events }) => events.lines());
      this.#journal.append(journalOf(batches, lines, this.sizeBytes), this.#syncedBytes);
      for (const some of lines) this.#file.append(some);
    } catch (cause) {
      this.undo();
      throw describeWriteError(cause, this.path);
    }
  }

  /** Takes back the last append. The file first: without its journal, half a batch would pass for whole lines. */
  undo(): void {
    try {
      this.#syncedBytes = Math.min(this.#syncedBytes, this.#before.fileBytes);
      this.#file.cutTo(this.#before.fileBytes);
      this.#journal.cutTo(this.#before.journalBytes);
    } catch (cause) {
      this.#failure = unusable(this.path, cause);
      throw this.#failure;
    }
  }

  async sync(): Promise<void> {
    const { sizeBytes } = this;
    try {
      await Promise.all([this.#journal.sync(), this.#file.sync()]);
      this.#syncedBytes = sizeBytes;
    } catch (cause) {
      throw describeWriteError(cause, this.path);
    }
  }

  /** Sees that file and journal agree, and that the journal stays short. @throws {EventStorageError} */
  maintain(): void {
    if (this.#failure !== undefined) throw this.#failure;
    const { size } = fstatSync(this.#file.descriptor);
    if (size !== this.sizeBytes) this.#followChange(size);
    else if (this.#journal.isLong) this.#rewriteJournal();
  }

  /** Begins a new file. On a failure the old one goes on as it is. */
  rotate(): void {
    const target = rotatedPath(this.path, new Date(), this.#rotationCount + 1);
    const header = { startBytes: 0, openedAtMs: Date.now(), rotationCount: target.count, inode: 0 };
    try {
      this.#file.syncNow();
      // The journal first: after a crash between the two it tells nothing of the file, and so the file is kept whole.
      this.#journal.rewrite(header, this.seen);
    } catch (cause) {
      this.#logRotation(cause);
      return;
    }
    try {
      this.#moveTo(target.path);
      this.#rotationCount = target.count;
      this.#rewriteJournal(); // it knows the new file from now on
    } catch (cause) {
      this.#logRotation(cause);
      this.#rewriteJournalOrFail();
    }
  }

  close(): void {
    this.#file.close();
    this.#journal.close();
    this.#lock.release();
  }

  #header(): JournalHeader {
    return {
      startBytes: this.sizeBytes,
      openedAtMs: this.#openedAtMs,
      rotationCount: this.#rotationCount,
      inode: this.#file.inode,
    };
  }

  /** Somebody else has cut the file or written to it, as logrotate's `copytruncate` does. */
  #followChange(sizeBytes: number): void {
    const properties = { path: this.path, found: sizeBytes, expected: this.sizeBytes };
    logger.warn("Somebody else has changed {path}: it has {found} bytes, not {expected}", properties);
    this.#file.noteSize(sizeBytes);
    this.#rewriteJournalOrFail();
  }

  /** The file is synced first: a journal must not say of events that they are kept which a power cut can take. */
  #rewriteJournal(): void {
    try {
      this.#file.syncNow();
      this.#syncedBytes = this.sizeBytes;
      this.#journal.rewrite(this.#header(), this.seen);
    } catch (cause) {
      throw describeWriteError(cause, this.path);
    }
  }

  #rewriteJournalOrFail(): void {
    try {
      if (this.#failure === undefined) this.#rewriteJournal();
    } catch (cause) {
      this.#failure = unusable(this.path, cause);
    }
  }

  #moveTo(rotated: string): void {
    renameSync(this.path, rotated);
    try {
      const file = openLinesFile(this.path, this.#mode);
      this.#file.close();
      this.#file = file;
      syncDirectory(dirname(rotated));
    } catch (cause) {
      this.#failure = unusable(this.path, cause);
      throw cause;
    }
    logger.info("Rotated {path} to {rotated}", { path: this.path, rotated });
  }

  #logRotation(cause: unknown): void {
    const properties = { path: this.path, message: (cause as Error).message };
    logger.error("Failed to rotate {path}: {message}", properties);
  }
}

function journalOf(
  batches: readonly BatchLines[],
  lines: readonly Buffer[],
  fileBytes: number,
): JournalBatch[] {
  let endBytes = fileBytes;
  return batches.flatMap(({ eventCount, source, ids, sizeBytes }, index) => {
    if (sizeBytes === 0) return [];
    const beginBytes = endBytes;
    endBytes += sizeBytes;
    return [{ beginBytes, endBytes, checksum: crc32(lines[index]!), eventCount, source, ids }];
  });
}

/** The longest line that there may be, in bytes: no event is as long. */
const MAX_LINE_BYTES = 1_048_576;

const NEWLINE = 0x0a;

/** Opens or creates one. @throws {EventStorageError} it cannot be opened, or is no file */
function openLinesFile(path: string, mode: number): AppendFile {
  let file: AppendFile;
  try {
    file = new AppendFile(path, mode);
  } catch (cause) {
    const { code = "UNKNOWN", message } = cause as NodeJS.ErrnoException;
    const problem = `Cannot open ${path} for appending: ${message}. Choose a file in a directory that this user may write to.`;
    throw new EventStorageError(code, path, problem, { cause });
  }
  const found = fstatSync(file.descriptor);
  if (found.isFile() && found.nlink === 1) return file;
  file.close();
  if (!found.isFile())
    throw new EventStorageError("NOT_A_FILE", path, `${path} is not a regular file: choose another.`);
  const problem = `${path} has ${found.nlink} names (hard links): a collector could write to it by each of them. Keep one.`;
  throw new EventStorageError("HARD_LINKED", path, problem);
}

/**
 * Finds out by its journal what of a file is whole, and cuts off the rest: no publisher was told that it arrived. Where
 * the journal does not reach that far, only what a power cut left of the last lines is cut off. A file that is not ours
 * is left as it is.
 *
 * @throws {EventStorageError} `NOT_JSON_LINES`
 */
function repairLinesFile(file: AppendFile, path: string, journalPath: string): Recovered {
  const foundBytes = file.sizeBytes;
  const read = (begin: number, end: number): Buffer => readPart(file, begin, end - begin);
  const recovered = recover(journalPath, { sizeBytes: foundBytes, inode: file.inode, read });
  const endBytes = recovered.isSameFile ? beginOfZeros(file, recovered.wholeBytes) : foundBytes;
  const { isSameFile, isRestTorn, wholeBytes: knownBytes } = recovered;
  if (foundBytes > 0 && endBytes === foundBytes) assertFirstLine(file, isSameFile, path);
  const isKnown = isRestTorn || knownBytes === foundBytes;
  const wholeBytes = isKnown ? knownBytes : endOfLastLine(file, { endBytes, isSameFile, path });
  if (wholeBytes < foundBytes) {
    file.cutTo(wholeBytes);
    const cutBytes = foundBytes - wholeBytes;
    logger.warn("Cut {cutBytes} bytes off {path}: a batch that was not acknowledged", { cutBytes, path });
  }
  return recovered;
}

/** Where the first zero is behind a position: a disk gives zeros for what a power cut took. No JSON has one. */
function beginOfZeros(file: AppendFile, fromBytes: number): number {
  for (let begin = fromBytes; begin < file.sizeBytes; begin += MAX_LINE_BYTES) {
    const found = readPart(file, begin, MAX_LINE_BYTES).indexOf(0);
    if (found !== -1) return begin + found;
  }
  return file.sizeBytes;
}

/** A configuration file, a table, a log: their first lines are not JSON, and a database has none. */
function assertFirstLine(file: AppendFile, isOurs: boolean, path: string): void {
  const head = readPart(file, 0, Math.min(file.sizeBytes, MAX_LINE_BYTES));
  const end = head.indexOf(NEWLINE);
  const isBegun = isTornJson(head) || (isOurs && isJson(head));
  if (end === -1 ? !isBegun : !isJson(head.subarray(0, end))) throw notJsonLines(path);
}

interface LinesEnd {
  /** Where the lines end. Behind it there are zeros, or nothing. */
  readonly endBytes: number;
  readonly isSameFile: boolean;
  readonly path: string;
}

/** Where the last whole line ends. Behind it there may be the beginning of another. */
function endOfLastLine(file: AppendFile, { endBytes, isSameFile, path }: LinesEnd): number {
  const tailBytes = Math.min(endBytes, 2 * MAX_LINE_BYTES);
  const tail = readPart(file, endBytes - tailBytes, tailBytes);
  const end = tail.lastIndexOf(NEWLINE) + 1;
  const begin = end < 2 ? 0 : tail.lastIndexOf(NEWLINE, end - 2) + 1;
  const isWhole = end === 0 || isJson(tail.subarray(begin, end - 1));
  const isTorn = end === tail.length || isSameFile || isTornJson(tail.subarray(end));
  if (!isWhole || !isTorn) throw notJsonLines(path);
  return endBytes - tail.length + end;
}

function readPart({ descriptor }: AppendFile, position: number, sizeBytes: number): Buffer {
  const part = Buffer.alloc(sizeBytes);
  return part.subarray(0, readSync(descriptor, part, 0, sizeBytes, position));
}

function isJson(line: Buffer): boolean {
  try {
    JSON.parse(line.toString());
    return true;
  } catch {
    return false;
  }
}

/** Whether it may be the beginning of an event that a crash has torn: more would make it JSON, and its end is missing. */
function isTornJson(text: Buffer): boolean {
  return (
    text.length < MAX_LINE_BYTES &&
    /^\s*["[{]/.test(text.toString("latin1")) &&
    !isJson(text) &&
    !text.includes(0)
  );
}

function notJsonLines(path: string): EventStorageError {
  const problem = `${path} is not a file of events, one JSON text a line: it is left as it is. Choose another.`;
  return new EventStorageError("NOT_JSON_LINES", path, problem);
}

/** Turns the system's error into one that says what to do. */
function describeWriteError(error: unknown, path: string): EventStorageError {
  if (error instanceof EventStorageError) return error;
  const { code = "UNKNOWN", message } = error as NodeJS.ErrnoException;
  const advice = code === "ENOSPC" || code === "EDQUOT" ? "free some space" : "see to the disk";
  const problem = `Cannot write to ${path}: ${message}. Nothing of the batch was kept: ${advice}.`;
  return new EventStorageError(code, path, problem, { cause: error });
}

/** What a file is once it is not known what it holds. */
function unusable(path: string, cause: unknown): EventStorageError {
  const { code = "UNKNOWN", message } = cause as NodeJS.ErrnoException;
  const problem = `${path} cannot be used any more: ${message}. See to the disk, and restart the collector, which repairs the file.`;
  return new EventStorageError(code, path, problem, { cause });
}

/** Where a file goes that is rotated away. */
export interface RotatedPath {
  readonly path: string;
  /** Its number. */
  readonly count: number;
}

/**
 * `events.jsonl` becomes `events-20261125T131500Z-000007.jsonl`: names sort by time, in UTC, and the number tells two
 * of one second apart. A name that is taken is passed by.
 */
function rotatedPath(path: string, time: Date, count: number): RotatedPath {
  const stamp = time.toISOString().replace(/[-:]|\.\d+/g, "");
  const extension = extname(path);
  const stem = path.slice(0, path.length - extension.length);
  for (let number = count; ; number++) {
    const rotated = `${stem}-${stamp}-${String(number).padStart(6, "0")}${extension}`;
    if (!existsSync(rotated)) return { path: rotated, count: number };
  }
}
