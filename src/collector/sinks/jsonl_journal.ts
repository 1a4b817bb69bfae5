/**
 * What a file of JSON lines cannot tell: which ids its events have.
 *
 * The journal of `events.jsonl` is `events.jsonl.journal`. Before batches are appended to the file, a line for each is
 * appended to the journal: where its events will begin and end, their checksum, and its ids. After a crash of the
 * process the file's size tells which batches are there whole. After a power cut it does not: a disk may know the new
 * size of a file and have zeros for what was not synced. So the checksums tell, of what no sync has covered. The first
 * batch that is not whole is cut off with all that follows: no publisher was told that it had arrived.
 *
 * ```text
 * eventspool-journal 1 START OPENED_AT_MS ROTATION_COUNT INODE
 * seen SOURCE QUEUE_UUID:1-100,105       what was kept in the file's first START bytes, or in files rotated away
 * batch BEGIN END CRC32 EVENT_COUNT SOURCE IDS    IDS as in Event-Ids, or - where they are not known
 * synced END                             the file is on the disk up to here
 * ```
 *
 * @module
 */
import { readFileSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { type EventIds, formatEventIds, parseEventIds } from "../../wire/event_ids.ts";
import { DedupIndex, formatSource, parseSource } from "../dedup/index.ts";
import { AppendFile, syncDirectory } from "./append_file.ts";

/** How long the journal of a sink's ids grows until it is written anew, in bytes: of batches of 1,700 events, 10,000. */
const MAX_JOURNAL_BYTES = 1_048_576;

/** What the first line says. */
export interface JournalHeader {
  /** How large the file was when the journal was written, in bytes. */
  readonly startBytes: number;
  /** When the file was begun, in milliseconds since 1970. */
  readonly openedAtMs: number;
  /** How many files have been rotated away. */
  readonly rotationCount: number;
  /** The file's inode, by which it is known that no other file took its place. */
  readonly inode: number;
}

/** A batch that is about to be appended. */
export interface JournalBatch {
  /** Where its events begin and end in the file, in bytes. */
  readonly beginBytes: number;
  readonly endBytes: number;
  /** The CRC-32 of its lines. */
  readonly checksum: number;
  readonly eventCount: number;
  /** Whose ids they are. */
  readonly source: string;
  readonly ids: EventIds | undefined;
}

/** What a journal knows of a file. */
export interface Recovered extends Pick<JournalHeader, "openedAtMs" | "rotationCount"> {
  /** Whether it is the file that the journal was written for. */
  readonly isSameFile: boolean;
  /** How much of the file is whole, in bytes: all batches that the journal has, up to the first that is not. */
  readonly wholeBytes: number;
  /** Whether the rest is a batch that is not whole; else the journal does not know what it is. */
  readonly isRestTorn: boolean;
  readonly seen: DedupIndex;
}

/** The open journal of a file. */
export class JsonlJournal {
  readonly #path: string;
  readonly #mode: number;
  #file: AppendFile;
  #startBytes: number;

  /** Writes a new journal in the place of an old one, at once or not at all. @throws the system's error */
  constructor(path: string, header: JournalHeader, { seen, mode }: { seen: DedupIndex; mode: number }) {
    this.#path = path;
    this.#mode = mode;
    this.#file = replace(path, header, { seen, mode });
    this.#startBytes = this.#file.sizeBytes;
  }

  /** Whether it has grown so long that it should be written anew: twice as long as it began, and more than 1 MiB. */
  get isLong(): boolean {
    return this.#file.sizeBytes - this.#startBytes > Math.max(MAX_JOURNAL_BYTES, this.#startBytes);
  }

  /** Its size in bytes, for {@link cutTo}. */
  get sizeBytes(): number {
    return this.#file.sizeBytes;
  }

  /** @param syncedBytes how much of the file is on the disk by now */
  append(batches: readonly JournalBatch[], syncedBytes: number): void {
    this.#file.append(Buffer.from(`synced ${syncedBytes}\n${batches.map(formatBatch).join("")}`));
  }

  cutTo(sizeBytes: number): void {
    this.#file.cutTo(sizeBytes);
  }

  sync(): Promise<void> {
    return this.#file.sync();
  }

  /** Writes it anew. @throws the system's error; then the old one goes on */
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
  rmSync(temporary, { force: true }); // and not what a link of that name points to
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

/** The file of a journal, as it is found. */
export interface JournaledFile {
  readonly sizeBytes: number;
  readonly inode: number;
  /** Reads a part of it. */
  read(beginBytes: number, endBytes: number): Buffer;
}

/**
 * Reads the journal of a file. What cannot be read, such as the end after a power cut, is forgotten, and so is all when
 * the file is smaller than when the journal was written: somebody has moved or cut it.
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

/** Notes the batches that are there whole; each begins where the one before ends. */
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
    if (isSameFile && batch.endBytes > syncedBytes && isForgotten(file, batch))
      return { wholeBytes, isRestTorn: true };
    if (batch.ids !== undefined) seen.add(batch.source, batch.ids, batch.eventCount);
    wholeBytes = batch.endBytes;
  }
  return { wholeBytes, isRestTorn: false };
}

/** Whether a power cut took some of a batch: then there are zeros, which no JSON has. Other bytes are somebody else's. */
function isForgotten(file: JournaledFile, { beginBytes, endBytes, checksum }: JournalBatch): boolean {
  const lines = file.read(beginBytes, endBytes);
  return crc32(lines) !== checksum && lines.includes(0);
}

/** The lines that have an end. */
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
