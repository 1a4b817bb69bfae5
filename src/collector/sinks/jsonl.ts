import { existsSync, fstatSync, readSync, realpathSync, renameSync } from "node:fs";
import { dirname, extname } from "node:path";
import { clearTimeout, setTimeout } from "node:timers";
import { getLogger } from "@logtape/logtape";
import { DEFAULT_FSYNC_INTERVAL_MS, DEFAULT_OUTPUT_MODE } from "../../config/collector_defaults.ts";
import { EventStorageError } from "../../errors.ts";
import { checkOption, checkOptions, integerFrom, type OptionKinds, STRING } from "../../options.ts";
import type { EventIds } from "../../wire/event_ids.ts";
import type { DedupIndex } from "./dedup_index.ts";
import {
  GroupCommitter,
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
import { AppendFile, OutputLock, syncDirectory } from "./output_file.ts";
import type { AcceptedBatch, EventList, Sink, StoreResult } from "./sink.ts";

/** Options of {@link JsonlSink}. */
export interface JsonlSinkOptions extends SyncOptions {
  /** The size beyond which a file does not grow, in bytes, unless one batch is larger. Default: none. */
  readonly rotateSizeBytes?: number | undefined;
  /** How old a file with events grows, in milliseconds, also when no more come. Default: any age. */
  readonly rotateAgeMs?: number | undefined;
  /** The mode of files that are made; one that is there keeps its own. Default: 0o600. */
  readonly fileMode?: number | undefined;
}

const OPTION_KINDS: OptionKinds<JsonlSinkOptions> = {
  ...SYNC_OPTION_KINDS,
  rotateSizeBytes: integerFrom(1),
  rotateAgeMs: integerFrom(1),
  fileMode: integerFrom(0o600, 0o777),
};

/** What of a batch is to be written, and what to answer. */
interface Selected extends BatchLines {
  readonly stored: StoreResult;
}

/**
 * Appends events to a file, one JSON text a line, those of each batch in one piece. Events that were kept before are
 * known by their ids, over restarts and crashes, and dropped. For one process at a time: beside the file there are
 * `FILE.journal`, which holds the ids, and `FILE-lock`.
 *
 * With rotation, a file that is large or old enough is renamed to, say, `events-20261125T131500Z-000007.jsonl`, and is
 * never written to again: it may be moved away, compressed, deleted. The open one keeps its name.
 */
export class JsonlSink implements Sink {
  readonly #options: JsonlSinkOptions;
  readonly #output: JsonlOutput;
  readonly #loop: GroupCommitter;
  #group: readonly Selected[] = [];
  #ageTimer: ReturnType<typeof setTimeout> | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Opens or creates the file. What a crash left unfinished is cut off: the publisher never heard that it arrived,
   * and sends it again.
   *
   * @throws {EventStorageError} when the file cannot be opened, has no lines (`NOT_JSON_LINES`), is no file
   * (`NOT_A_FILE`), has several names (`HARD_LINKED`), or is another sink's (`LOCKED`)
   */
  constructor(path: string, options: JsonlSinkOptions = {}) {
    checkOption("path", path, STRING);
    checkOptions(options, OPTION_KINDS);
    this.#options = options;
    this.#output = new JsonlOutput(path, options.fileMode ?? DEFAULT_OUTPUT_MODE);
    this.#loop = new GroupCommitter(this.#target(), {
      fsync: options.fsync ?? "always",
      fsyncIntervalMs: options.fsyncIntervalMs ?? DEFAULT_FSYNC_INTERVAL_MS,
      maxGroupBytes: Math.min(options.rotateSizeBytes ?? MAX_GROUP_BYTES, MAX_GROUP_BYTES),
    });
    this.#armAgeTimer();
  }

  /**
   * Appends a batch, all of it or nothing.
   *
   * @throws {EventStorageError} rejects with it when it was not kept, such as `ENOSPC`
   */
  store(batch: AcceptedBatch): Promise<StoreResult> {
    return this.#loop.store(batch);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Closes the sink, as {@link close} does, at the end of the scope of an `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const { path } = this.#output;
    try {
      await this.#loop.close(new EventStorageError("CLOSED", path, `${path} is closed.`));
    } finally {
      clearTimeout(this.#ageTimer);
      this.#output.close();
    }
  }

  #target(): GroupTarget {
    return {
      maintain: () => this.#maintain(),
      write: (group) => this.#write(group),
      sync: () => this.#output.sync(),
      written: () => this.#remember(),
      undo: () => this.#output.undo(),
    };
  }

  #maintain(): void {
    this.#output.maintain();
    const { rotateAgeMs = Number.POSITIVE_INFINITY } = this.#options;
    const { sizeBytes, openedAtMs } = this.#output;
    if (sizeBytes > 0 && Date.now() - openedAtMs >= rotateAgeMs) this.#output.rotate();
  }

  #write(batches: readonly AcceptedBatch[]): readonly StoreResult[] {
    const group = batches.map((batch) => select(batch, this.#output.seen));
    if (this.#isTooLargeWith(group)) this.#output.rotate();
    const isFirst = this.#output.sizeBytes === 0;
    this.#output.append(group);
    this.#group = group;
    if (isFirst) this.#armAgeTimer();
    return group.map(({ stored }) => stored);
  }

  #remember(): void {
    for (const { source, ids, eventCount } of this.#group)
      if (ids !== undefined) this.#output.seen.add(source, ids, eventCount);
  }

  #isTooLargeWith(group: readonly Selected[]): boolean {
    const { rotateSizeBytes = Number.POSITIVE_INFINITY } = this.#options;
    const addedBytes = group.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return this.#output.sizeBytes > 0 && this.#output.sizeBytes + addedBytes > rotateSizeBytes;
  }

  #armAgeTimer(): void {
    clearTimeout(this.#ageTimer);
    const { rotateAgeMs } = this.#options;
    if (rotateAgeMs === undefined || this.#output.sizeBytes === 0) return;
    const leftMs = Math.max(1, this.#output.openedAtMs + rotateAgeMs - Date.now());
    this.#ageTimer = setTimeout(() => this.#loop.wake(), leftMs).unref();
  }
}

/** What of a batch has not been kept before. */
function select({ events, source, ids }: AcceptedBatch, seen: DedupIndex): Selected {
  const found = ids && seen.find(source, ids, events.count);
  const duplicates = found?.count ?? 0;
  const kept = duplicates === 0 ? events : events.filter((index) => !found!.has(index));
  const stored = { stored: kept.count, duplicates };
  return { events: kept, sizeBytes: linesSizeBytes(kept), eventCount: events.count, source, ids, stored };
}

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
      const found = mendLinesFile(this.#file, this.path, journalPath);
      this.seen = found.seen;
      this.#openedAtMs = found.openedAtMs;
      this.#rotationCount = found.rotationCount;
      this.#file.syncNow();
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
      this.#journal.append(journalOf(batches, this.sizeBytes));
      // The lines of one batch at a time: those of a whole group at once would cost three times as much.
      for (const { events } of batches) this.#file.append(events.lines());
    } catch (cause) {
      this.undo();
      throw describeWriteError(cause, this.path);
    }
  }

  /** Takes back the last append. The file first: without its journal, half a batch would pass for whole lines. */
  undo(): void {
    try {
      this.#file.cutTo(this.#before.fileBytes);
      this.#journal.cutTo(this.#before.journalBytes);
    } catch (cause) {
      this.#failure = unusable(this.path, cause);
      throw this.#failure;
    }
  }

  async sync(): Promise<void> {
    try {
      await Promise.all([this.#journal.sync(), this.#file.sync()]);
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
    const header = { startBytes: 0, openedAtMs: Date.now(), rotationCount: target.count };
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
    return { startBytes: this.sizeBytes, openedAtMs: this.#openedAtMs, rotationCount: this.#rotationCount };
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

function journalOf(batches: readonly BatchLines[], fileBytes: number): JournalBatch[] {
  let endBytes = fileBytes;
  const written = batches.filter(({ sizeBytes }) => sizeBytes > 0);
  return written.map(({ eventCount, source, ids, sizeBytes }) => {
    const beginBytes = endBytes;
    endBytes += sizeBytes;
    return { beginBytes, endBytes, eventCount, source, ids };
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
 * Finds out by its journal what of a file is whole, and cuts off the rest: nobody was told that it arrived. Where
 * the journal does not reach that far, only a last line without an end is cut off. A file that is not ours is left as
 * it is.
 *
 * @throws {EventStorageError} `NOT_JSON_LINES`
 */
function mendLinesFile(file: AppendFile, path: string, journalPath: string): Recovered {
  const foundBytes = file.sizeBytes;
  if (foundBytes > 0) assertFirstLine(file, path);
  const recovered = recover(journalPath, foundBytes);
  const wholeBytes = recovered.wholeBytes ?? endOfLastLine(file, path);
  if (wholeBytes < foundBytes) {
    file.cutTo(wholeBytes);
    const cutBytes = foundBytes - wholeBytes;
    logger.warn("Cut {cutBytes} bytes off {path}: a batch that was never answered", { cutBytes, path });
  }
  return recovered;
}

/** A configuration file, a table, a log: their first lines are not JSON, and a database has none. */
function assertFirstLine(file: AppendFile, path: string): void {
  const head = readPart(file, 0, Math.min(file.sizeBytes, MAX_LINE_BYTES));
  const end = head.indexOf(NEWLINE);
  if (end !== -1 ? !isJson(head.subarray(0, end)) : !isTornJson(head)) throw notJsonLines(path);
}

function endOfLastLine(file: AppendFile, path: string): number {
  const { sizeBytes } = file;
  const tailBytes = Math.min(sizeBytes, 2 * MAX_LINE_BYTES);
  const tail = readPart(file, sizeBytes - tailBytes, tailBytes);
  const end = tail.lastIndexOf(NEWLINE) + 1;
  const begin = end < 2 ? 0 : tail.lastIndexOf(NEWLINE, end - 2) + 1;
  const isWhole = end === 0 || isJson(tail.subarray(begin, end - 1));
  if (!isWhole || !(end === tail.length || isTornJson(tail.subarray(end)))) throw notJsonLines(path);
  return sizeBytes - tail.length + end;
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
  const problem = `${path} cannot be used any more: ${message}. See to the disk, and restart the collector, which mends the file.`;
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
