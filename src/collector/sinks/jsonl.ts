import { existsSync, fstatSync, readSync, realpathSync, renameSync } from "node:fs";
import { dirname, extname } from "node:path";
import { clearTimeout, setTimeout } from "node:timers";
import zlib from "node:zlib";
import { getLogger } from "@logtape/logtape";
import { DEFAULT_OUTPUT_MODE } from "../../config/collector_defaults.ts";
import { EventStorageError } from "../../errors.ts";
import { jsonText } from "../../format.ts";
import { checkOption, checkOptions, FILE_MODE, type OptionKinds, STRING, wholeFrom } from "../../options.ts";
import type { EventIds } from "../../wire/event_ids.ts";
import type { DedupIndex } from "./dedup_index.ts";
import {
  GroupCommitSink,
  type GroupTarget,
  linesSizeBytes,
  MAX_GROUP_BYTES,
  SYNC_OPTION_KINDS,
  type SyncOptions,
} from "./group_commit.ts";
import {
  type JournalBatch,
  type JournalHeader,
  JsonlJournal,
  type Recovered,
  recover,
} from "./jsonl_journal.ts";
import { AppendFile, describeOpenError, OutputLock, syncDirectory } from "./output_file.ts";
import type { AcceptedBatch, EventList, StoreResult } from "./sink.ts";

/** Options of {@link JsonlSink}. */
export interface JsonlSinkOptions extends SyncOptions {
  /** Rotate a file before it grows beyond this size, in bytes; a larger batch gets a file of its own. Default: never. */
  readonly rotateSizeBytes?: number | undefined;
  /** Rotate a file that holds events for this long, in milliseconds, even if no more come. Default: never. */
  readonly rotateAgeMs?: number | undefined;
  /** The mode of new files; an existing file keeps its mode. Default: 0o600. */
  readonly fileMode?: number | undefined;
}

const OPTION_KINDS: OptionKinds<JsonlSinkOptions> = {
  ...SYNC_OPTION_KINDS,
  rotateSizeBytes: wholeFrom(1),
  rotateAgeMs: wholeFrom(1),
  fileMode: FILE_MODE,
};

/**
 * Appends events to a file, one JSON text per line, the lines of a batch together. Events that were stored before are
 * recognized by their ids, also after restarts and crashes, and dropped. One process at a time may use the file.
 * Beside it are `FILE.journal`, which holds the ids, and `FILE-lock`.
 *
 * With rotation, a file that is large or old enough is renamed, for example to
 * `events-20261125T131500Z-000007.jsonl`, and never written again: you may move, compress or delete it. The open file
 * keeps its name.
 */
export class JsonlSink extends GroupCommitSink {
  /**
   * Opens or creates the file. The rest of a batch that a crash cut short is removed: its publisher got no response,
   * and sends it again.
   *
   * @throws {ConfigurationError} an option is not valid
   * @throws {EventStorageError} the file cannot be opened, does not hold JSON lines (`NOT_JSON_LINES`), is not a regular
   * file (`NOT_A_FILE`), has several names (`HARD_LINKED`), or another sink uses it (`LOCKED`)
   */
  constructor(path: string, options: JsonlSinkOptions = {}) {
    checkOption("path", path, STRING);
    const checked = checkOptions(options, OPTION_KINDS);
    const output = new JsonlOutput(path, checked);
    const { rotateSizeBytes = MAX_GROUP_BYTES } = checked;
    super(output, { ...checked, maxGroupBytes: Math.min(rotateSizeBytes, MAX_GROUP_BYTES) });
    output.onAge = () => this.wake();
  }
}

const logger = getLogger(["eventspool", "collector"]);

/** The part of a batch that is not stored yet. */
interface NewLines {
  readonly events: EventList;
  /** The size of its lines, in bytes. */
  readonly sizeBytes: number;
  /** The number of events in the whole batch. */
  readonly eventCount: number;
  readonly source: string;
  readonly ids: EventIds | undefined;
  readonly result: StoreResult;
}

/** A file of JSON lines with its journal and its lock. */
class JsonlOutput implements GroupTarget {
  /** The path of the file itself, without links. */
  readonly path: string;
  /** Called when the file is old enough to be rotated. */
  onAge: () => void = () => {};
  readonly #options: JsonlSinkOptions;
  readonly #mode: number;
  readonly #lock: OutputLock;
  readonly #journal: JsonlJournal;
  /** The ids of all stored events. */
  readonly #seen: DedupIndex;
  #file: AppendFile;
  #openedAtMs: number;
  #rotationCount: number;
  #group: readonly NewLines[] = [];
  /** The sizes of both files before the last append, in bytes. */
  #before = { fileBytes: 0, journalBytes: 0 };
  /** How much of the file is on the disk, in bytes. */
  #syncedBytes: number;
  /** Why nothing more can be written. */
  #failure: EventStorageError | undefined;
  #ageTimer: ReturnType<typeof setTimeout> | undefined;

  /** @throws {EventStorageError} */
  constructor(path: string, options: JsonlSinkOptions) {
    this.#options = options;
    this.#mode = options.fileMode ?? DEFAULT_OUTPUT_MODE;
    this.#file = openLinesFile(path, this.#mode);
    try {
      this.path = realpathSync(path); // otherwise a rotation would rename the link
      this.#lock = new OutputLock(this.path);
    } catch (error) {
      this.#file.close();
      throw describeWriteError(error, path);
    }
    try {
      const journalPath = `${this.path}.journal`;
      const found = repairLinesFile(this.#file, this.path, journalPath);
      this.#seen = found.seen;
      this.#openedAtMs = found.openedAtMs;
      this.#rotationCount = found.rotationCount;
      this.#file.syncNow();
      this.#syncedBytes = this.#file.sizeBytes;
      this.#journal = new JsonlJournal(journalPath, this.#header(), { seen: this.#seen, mode: this.#mode });
    } catch (error) {
      this.#file.close();
      this.#lock.release();
      throw describeWriteError(error, path);
    }
    this.#startAgeTimer();
  }

  /** Appends the new events of all batches or, when it throws, nothing. @throws {EventStorageError} */
  write(batches: readonly AcceptedBatch[]): readonly StoreResult[] {
    const group = batches.map((batch) => selectNew(batch, this.#seen));
    if (this.#isTooLargeWith(group)) this.#rotate();
    const isFirst = this.#file.sizeBytes === 0;
    this.#append(group);
    this.#group = group;
    if (isFirst) this.#startAgeTimer();
    return group.map(({ result }) => result);
  }

  onCommit(): void {
    for (const { source, ids, eventCount } of this.#group)
      if (ids !== undefined) this.#seen.add(source, ids, eventCount);
  }

  /** Removes the last append. The file first: without its journal, half a batch would look like whole lines. */
  undo(): void {
    try {
      this.#syncedBytes = Math.min(this.#syncedBytes, this.#before.fileBytes);
      this.#file.truncate(this.#before.fileBytes);
      this.#journal.truncate(this.#before.journalBytes);
    } catch (cause) {
      this.#failure = unusable(this.path, cause);
      throw this.#failure;
    }
  }

  async sync(): Promise<void> {
    const { sizeBytes } = this.#file;
    try {
      await Promise.all([this.#journal.sync(), this.#file.sync()]);
      this.#syncedBytes = sizeBytes;
    } catch (cause) {
      throw describeWriteError(cause, this.path);
    }
  }

  /** Keeps file and journal consistent and the journal short, and rotates an old file. @throws {EventStorageError} */
  maintain(): void {
    if (this.#failure !== undefined) throw this.#failure;
    const { size } = fstatSync(this.#file.descriptor);
    if (size !== this.#file.sizeBytes) this.#followChange(size);
    else if (this.#journal.isLong) this.#rewriteJournal();
    const { rotateAgeMs = Number.POSITIVE_INFINITY } = this.#options;
    if (this.#file.sizeBytes > 0 && Date.now() - this.#openedAtMs >= rotateAgeMs) this.#rotate();
  }

  close(): void {
    clearTimeout(this.#ageTimer);
    this.#file.close();
    this.#journal.close();
    this.#lock.release();
  }

  #append(group: readonly NewLines[]): void {
    if (this.#failure !== undefined) throw this.#failure;
    const { sizeBytes } = this.#file;
    if (sizeBytes === 0) this.#openedAtMs = Date.now();
    this.#before = { fileBytes: sizeBytes, journalBytes: this.#journal.sizeBytes };
    try {
      const lines = group.map(({ events }) => events.lines()); // not in one buffer: that would cost three times as much
      this.#journal.append(journalOf(group, lines, sizeBytes), this.#syncedBytes);
      for (const some of lines) this.#file.append(some);
    } catch (cause) {
      this.undo();
      throw describeWriteError(cause, this.path);
    }
  }

  #isTooLargeWith(group: readonly NewLines[]): boolean {
    const { rotateSizeBytes = Number.POSITIVE_INFINITY } = this.#options;
    const addedBytes = group.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return this.#file.sizeBytes > 0 && this.#file.sizeBytes + addedBytes > rotateSizeBytes;
  }

  #startAgeTimer(): void {
    clearTimeout(this.#ageTimer);
    const { rotateAgeMs } = this.#options;
    if (rotateAgeMs === undefined || this.#file.sizeBytes === 0) return;
    const leftMs = Math.max(1, this.#openedAtMs + rotateAgeMs - Date.now());
    this.#ageTimer = setTimeout(() => this.onAge(), leftMs).unref();
  }

  #header(): JournalHeader {
    return {
      startBytes: this.#file.sizeBytes,
      openedAtMs: this.#openedAtMs,
      rotationCount: this.#rotationCount,
      inode: this.#file.inode,
    };
  }

  /** Another program truncated the file or wrote to it, for example logrotate with `copytruncate`. */
  #followChange(sizeBytes: number): void {
    const properties = { path: this.path, found: sizeBytes, expected: this.#file.sizeBytes };
    logger.warn(
      "Another program changed {path}: it has {found} bytes, not {expected}. Events go on being appended",
      properties,
    );
    this.#file.sizeBytes = sizeBytes;
    this.#rewriteJournalOrFail();
  }

  /** Syncs the file first: the journal must not name events as stored that a power cut can take. */
  #rewriteJournal(): void {
    try {
      this.#file.syncNow();
      this.#syncedBytes = this.#file.sizeBytes;
      this.#journal.rewrite(this.#header(), this.#seen);
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

  /** Begins a new file. If that fails, the old file stays in use. */
  #rotate(): void {
    const target = rotatedPath(this.path, new Date(), this.#rotationCount + 1);
    const header = { startBytes: 0, openedAtMs: Date.now(), rotationCount: target.count, inode: 0 };
    try {
      this.#file.syncNow();
      // The journal first: after a crash in between it says nothing about the file, and the whole file is kept.
      this.#journal.rewrite(header, this.#seen);
    } catch (cause) {
      this.#logFailedRotation(cause);
      return;
    }
    try {
      this.#moveTo(target.path);
      this.#rotationCount = target.count;
      this.#rewriteJournal(); // now for the new file
    } catch (cause) {
      this.#logFailedRotation(cause);
      this.#rewriteJournalOrFail();
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

  #logFailedRotation(cause: unknown): void {
    const properties = { path: this.path, message: (cause as Error).message };
    logger.error("Failed to rotate {path}: {message}", properties);
  }
}

/** Selects the events of a batch that are not stored yet. */
function selectNew({ events, source, ids }: AcceptedBatch, seen: DedupIndex): NewLines {
  const found = ids && seen.find(source, ids, events.count);
  const duplicates = found?.count ?? 0;
  const fresh = duplicates === 0 ? events : events.filter((index) => !found!.has(index));
  const result = { stored: fresh.count, duplicates };
  return { events: fresh, sizeBytes: linesSizeBytes(fresh), eventCount: events.count, source, ids, result };
}

function journalOf(group: readonly NewLines[], lines: readonly Buffer[], fileBytes: number): JournalBatch[] {
  let endBytes = fileBytes;
  return group.flatMap(({ eventCount, source, ids, sizeBytes }, index) => {
    if (sizeBytes === 0) return [];
    const beginBytes = endBytes;
    endBytes += sizeBytes;
    return [{ beginBytes, endBytes, checksum: zlib.crc32(lines[index]!), eventCount, source, ids }];
  });
}

/** The longest line, in bytes; every event is shorter. */
const MAX_LINE_BYTES = 1_048_576;

const NEWLINE = 0x0a;

/** Opens or creates a file. @throws {EventStorageError} it cannot be opened, or is not a regular file */
function openLinesFile(path: string, mode: number): AppendFile {
  let file: AppendFile;
  try {
    file = new AppendFile(path, mode);
  } catch (cause) {
    throw describeOpenError(cause, path);
  }
  const found = fstatSync(file.descriptor);
  if (found.isFile() && found.nlink === 1) return file;
  file.close();
  if (!found.isFile())
    throw new EventStorageError("NOT_A_FILE", path, `${path} is not a regular file. Choose another path.`);
  const problem = `${path} has ${found.nlink} names (hard links), and a collector could write to it by each. Keep one.`;
  throw new EventStorageError("HARD_LINKED", path, problem);
}

/**
 * Finds the end of the last complete batch by the journal, and truncates the file there: the publisher of the rest got
 * no response. Where the journal ends before the file does, only what a power cut left of the last lines is removed. A
 * file of another program is not changed.
 *
 * @throws {EventStorageError} `NOT_JSON_LINES`
 */
function repairLinesFile(file: AppendFile, path: string, journalPath: string): Recovered {
  const foundBytes = file.sizeBytes;
  const read = (begin: number, end: number): Buffer => readPart(file, begin, end - begin);
  const recovered = recover(journalPath, { sizeBytes: foundBytes, inode: file.inode, read });
  const { isSameFile, isRestTorn, wholeBytes: knownBytes } = recovered;
  const endBytes = isSameFile ? beginOfZeros(file, knownBytes) : foundBytes;
  if (foundBytes > 0 && endBytes === foundBytes) assertFirstLine(file, isSameFile, path);
  const isKnown = isRestTorn || knownBytes === foundBytes;
  const wholeBytes = isKnown ? knownBytes : endOfLastLine(file, { endBytes, isSameFile, path });
  if (wholeBytes < foundBytes) {
    file.truncate(wholeBytes);
    const cutBytes = foundBytes - wholeBytes;
    logger.warn("Removed the last {cutBytes} bytes of {path}: an incomplete batch without a response", {
      cutBytes,
      path,
    });
  }
  return recovered;
}

/** Returns the position of the first zero: a disk has zeros for what a power cut took, and JSON never has one. */
function beginOfZeros(file: AppendFile, fromBytes: number): number {
  for (let begin = fromBytes; begin < file.sizeBytes; begin += MAX_LINE_BYTES) {
    const found = readPart(file, begin, MAX_LINE_BYTES).indexOf(0);
    if (found !== -1) return begin + found;
  }
  return file.sizeBytes;
}

/** Rejects configuration files, tables, logs and databases: their first line is not JSON. */
function assertFirstLine(file: AppendFile, isOurs: boolean, path: string): void {
  const head = readPart(file, 0, Math.min(file.sizeBytes, MAX_LINE_BYTES));
  const end = head.indexOf(NEWLINE);
  const isBegun = isTornJson(head) || (isOurs && isJson(head));
  if (end === -1 ? !isBegun : !isJson(head.subarray(0, end))) throw notJsonLines(path);
}

interface LinesEnd {
  /** Where the lines end. Behind it are zeros, or nothing. */
  readonly endBytes: number;
  readonly isSameFile: boolean;
  readonly path: string;
}

/** Returns where the last complete line ends. The beginning of another may follow. */
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
  return jsonText(line) !== undefined;
}

/** Whether the bytes may be the beginning of an event that a crash cut short: its end is missing. */
function isTornJson(text: Buffer): boolean {
  return (
    text.length < MAX_LINE_BYTES &&
    /^\s*["[{]/.test(text.toString("latin1")) &&
    !isJson(text) &&
    !text.includes(0)
  );
}

function notJsonLines(path: string): EventStorageError {
  const problem = `${path} does not hold events, one JSON text per line. It is not changed. Choose another file.`;
  return new EventStorageError("NOT_JSON_LINES", path, problem);
}

/** Adds what to do to the system's error. */
function describeWriteError(error: unknown, path: string): EventStorageError {
  if (error instanceof EventStorageError) return error;
  const { code = "UNKNOWN", message } = error as NodeJS.ErrnoException;
  const advice = code === "ENOSPC" || code === "EDQUOT" ? "Free some space" : "Check the disk";
  const problem = `Cannot write to ${path}: ${message}. Nothing of the batch is stored. ${advice}.`;
  return new EventStorageError(code, path, problem, { cause: error });
}

/** Nobody knows any more what the file holds. */
function unusable(path: string, cause: unknown): EventStorageError {
  const { code = "UNKNOWN", message } = cause as NodeJS.ErrnoException;
  const problem = `Cannot use ${path} any more: ${message}. Check the disk, and restart the collector, which repairs the file.`;
  return new EventStorageError(code, path, problem, { cause });
}

/** The new name of a file that is rotated. */
interface RotatedPath {
  readonly path: string;
  /** Its number. */
  readonly count: number;
}

/**
 * `events.jsonl` becomes `events-20261125T131500Z-000007.jsonl`. Names sort by time (UTC), and by number within a
 * second. A name that exists is skipped.
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
