/**
 * The journal of a file of JSON lines: the ids of its events.
 *
 * The journal of `events.jsonl` is `events.jsonl.journal`. Before batches are appended to the file, the journal gets a
 * line for each: where its events will begin and end, their checksum, and its ids. After a crash of the process, the
 * size of the file shows which batches are complete. After a power cut it does not: a disk may have the new size of a
 * file, and zeros for what was not synced. So the checksums decide about batches that no sync has covered. The first
 * incomplete batch is removed with everything behind it: its publisher got no response.
 *
 * ```text
 * eventspool-journal 1 START OPENED_AT_MS ROTATION_COUNT INODE
 * seen SOURCE QUEUE_UUID:1-100,105       stored in the first START bytes of the file, or in rotated files
 * batch BEGIN END CRC32 EVENT_COUNT SOURCE IDS    IDS as in Event-Ids, or - if the batch has none
 * synced END                             the file is on the disk up to here
 * ```
 */
import { readFileSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import zlib from "node:zlib";
import { type EventIds, formatEventIds, parseEventIds } from "../../wire/event_ids.ts";
import { DedupIndex, formatSource, parseSource } from "./dedup_index.ts";
import { AppendFile, syncDirectory } from "./output_file.ts";

/** The growth at which the journal is rewritten, in bytes: 10,000 batches of 1,700 events. */
const MAX_JOURNAL_BYTES = 1_048_576;

/** The first line. */
export interface JournalHeader {
  /** The size of the file when the journal was written, in bytes. */
  readonly startBytes: number;
  /** When the file got its first event, in milliseconds since 1970. */
  readonly openedAtMs: number;
  /** The number of rotated files. */
  readonly rotationCount: number;
  /** The inode of the file, to recognize that another file replaced it. */
  readonly inode: number;
}

/** A batch that will be appended. */
export interface JournalBatch {
  /** Where its events begin and end in the file, in bytes. */
  readonly beginBytes: number;
  readonly endBytes: number;
  /** The CRC-32 of its lines. */
  readonly checksum: number;
  readonly eventCount: number;
  /** The source of the ids. */
  readonly source: string;
  readonly ids: EventIds | undefined;
}

/** What a journal says about a file. */
export interface Recovered extends Pick<JournalHeader, "openedAtMs" | "rotationCount"> {
  /** Whether the journal was written for this file. */
  readonly isSameFile: boolean;
  /** The end of the last complete batch of the journal, in bytes. */
  readonly wholeBytes: number;
  /** Whether an incomplete batch follows. Otherwise the journal says nothing about the rest. */
  readonly isRestTorn: boolean;
  readonly seen: DedupIndex;
}

/** The open journal of a file. */
export class JsonlJournal {
  readonly #path: string;
  readonly #mode: number;
  #file: AppendFile;
  #startBytes: number;

  /** Replaces the old journal with a new one, atomically. @throws the system's error */
  constructor(path: string, header: JournalHeader, { seen, mode }: { seen: DedupIndex; mode: number }) {
    this.#path = path;
    this.#mode = mode;
    this.#file = replace(path, header, { seen, mode });
    this.#startBytes = this.#file.sizeBytes;
  }

  /** Whether to rewrite the journal: it has grown by more than 1 MiB, and to twice its first size. */
  get isLong(): boolean {
    return this.#file.sizeBytes - this.#startBytes > Math.max(MAX_JOURNAL_BYTES, this.#startBytes);
  }

  /** For {@link truncate}. */
  get sizeBytes(): number {
    return this.#file.sizeBytes;
  }

  /** @param syncedBytes how much of the file is on the disk now */
  append(batches: readonly JournalBatch[], syncedBytes: number): void {
    this.#file.append(Buffer.from(`synced ${syncedBytes}\n${batches.map(formatBatch).join("")}`));
  }

  truncate(sizeBytes: number): void {
    this.#file.truncate(sizeBytes);
  }

  sync(): Promise<void> {
    return this.#file.sync();
  }

  /** Replaces the journal. @throws the system's error; then the old journal stays in use */
  rewrite(header: JournalHeader, seen: DedupIndex): void {
    const file = replace(this.#path, header, { seen, mode: this.#mode });
    this.#file.close();
    this.#file = file;
    this.#startBytes = file.sizeBytes;
  }

  close(): void {
    this.#file.close();
  }
}

function replace(
  path: string,
  header: JournalHeader,
  { seen, mode }: { seen: DedupIndex; mode: number },
): AppendFile {
  const temporary = `${path}.new`;
  rmSync(temporary, { force: true }); // if it is a link, this removes the link
  const file = new AppendFile(temporary, mode);
  try {
    file.append(Buffer.from(formatStart(header, seen)));
    file.syncNow();
    renameSync(temporary, path);
    syncDirectory(dirname(path));
    return file;
  } catch (error) {
    file.close();
    rmSync(temporary, { force: true });
    throw error;
  }
}

function formatStart(header: JournalHeader, seen: DedupIndex): string {
  const { startBytes, openedAtMs, rotationCount, inode } = header;
  const lines = [`eventspool-journal 1 ${startBytes} ${openedAtMs} ${rotationCount} ${inode}\n`];
  for (const queue of seen.queues()) lines.push(`seen ${seen.format(queue)}\n`);
  return lines.join("");
}

function formatBatch({ ids, ...batch }: JournalBatch): string {
  const { beginBytes, endBytes, checksum, eventCount, source } = batch;
  const named = ids === undefined ? "-" : formatEventIds(ids.queue, ids.ranges);
  return `batch ${beginBytes} ${endBytes} ${checksum} ${eventCount} ${formatSource(source)} ${named}\n`;
}

/** The file of a journal. */
export interface JournaledFile {
  readonly sizeBytes: number;
  readonly inode: number;
  /** Reads a part of the file. */
  read(beginBytes: number, endBytes: number): Buffer;
}

/**
 * Reads the journal of a file. Lines that cannot be read, for example after a power cut, and all lines behind them are
 * ignored. The whole journal is ignored if the file is smaller than when the journal was written: someone moved or
 * truncated the file.
 */
export function recover(path: string, file: JournaledFile): Recovered {
  const lines = readLines(path);
  const header = parseHeader(lines[0] ?? "");
  const seen = new DedupIndex();
  const { startBytes = 0, openedAtMs = Date.now(), rotationCount = 0, inode } = header ?? {};
  const unknown = { openedAtMs, rotationCount, isSameFile: false, wholeBytes: 0, isRestTorn: false, seen };
  if (header === undefined || startBytes > file.sizeBytes) return unknown;
  let at = 1;
  while (lines[at]?.startsWith("seen ") && seen.restore(lines[at]!.slice("seen ".length))) at++;
  const isSameFile = inode === file.inode;
  return {
    ...unknown,
    isSameFile,
    ...recoverBatches(lines.slice(at), { file, startBytes, isSameFile, seen }),
  };
}

interface Recovery {
  readonly file: JournaledFile;
  readonly startBytes: number;
  readonly isSameFile: boolean;
  readonly seen: DedupIndex;
}

/** Adds the ids of the complete batches; each batch begins where the one before ends. */
function recoverBatches(
  lines: readonly string[],
  { file, startBytes, isSameFile, seen }: Recovery,
): Pick<Recovered, "wholeBytes" | "isRestTorn"> {
  const syncedBytes = Math.max(startBytes, ...lines.map((line) => parseSynced(line) ?? 0));
  let wholeBytes = startBytes;
  for (const line of lines) {
    if (parseSynced(line) !== undefined) continue;
    const batch = parseBatch(line);
    if (batch?.beginBytes !== wholeBytes) break;
    if (batch.endBytes > file.sizeBytes) return { wholeBytes, isRestTorn: true };
    if (isSameFile && batch.endBytes > syncedBytes && isTorn(file, batch))
      return { wholeBytes, isRestTorn: true };
    if (batch.ids !== undefined) seen.add(batch.source, batch.ids, batch.eventCount);
    wholeBytes = batch.endBytes;
  }
  return { wholeBytes, isRestTorn: false };
}

/** Whether a power cut took a part of a batch: then it has zeros, which JSON never has. Other changes are another program's. */
function isTorn(file: JournaledFile, { beginBytes, endBytes, checksum }: JournalBatch): boolean {
  const lines = file.read(beginBytes, endBytes);
  return zlib.crc32(lines) !== checksum && lines.includes(0);
}

/** The complete lines. The journal is ASCII. */
function readLines(path: string): string[] {
  try {
    return readFileSync(path, "latin1").split("\n").slice(0, -1);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function parseHeader(line: string): JournalHeader | undefined {
  const [, ...numbers] = /^eventspool-journal 1 (\d+) (\d+) (\d+) (\d+)$/.exec(line) ?? [];
  const [startBytes, openedAtMs, rotationCount, inode] = numbers.map(Number);
  if (inode === undefined) return undefined;
  return { startBytes: startBytes!, openedAtMs: openedAtMs!, rotationCount: rotationCount!, inode };
}

function parseSynced(line: string): number | undefined {
  const [, synced] = /^synced (\d+)$/.exec(line) ?? [];
  return synced === undefined ? undefined : Number(synced);
}

function parseBatch(line: string): JournalBatch | undefined {
  const [, begin, end, crc, count, name, text] =
    /^batch (\d+) (\d+) (\d+) (\d+) (\S*) (\S+)$/.exec(line) ?? [];
  const source = parseSource(name ?? "");
  if (begin === undefined || source === undefined) return undefined;
  const ids = text === "-" ? undefined : parseEventIds(text!);
  if (text !== "-" && ids === undefined) return undefined;
  const [beginBytes, endBytes, checksum, eventCount] = [begin, end, crc, count].map(Number);
  return {
    beginBytes: beginBytes!,
    endBytes: endBytes!,
    checksum: checksum!,
    eventCount: eventCount!,
    source,
    ids,
  };
}
