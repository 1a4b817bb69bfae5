/**
 * What a file of JSON lines cannot tell: which ids its events have.
 *
 * Beside `events.jsonl` stands `events.jsonl.journal`. Before batches are appended to the one, a line for each is
 * appended to the other: where its events will begin and end, and its ids. So after a crash the file's size tells which
 * batches are there whole; of the one that is not, the beginning is cut off, as nobody was told that it had arrived.
 *
 * ```text
 * eventspool-journal 1 START OPENED_AT_MS ROTATION_COUNT
 * seen SOURCE QUEUE_UUID:1-100,105       what was kept in the file's first START bytes, or in files rotated away
 * batch BEGIN END EVENT_COUNT SOURCE IDS IDS as in Event-Ids, or - where they are not known
 * ```
 *
 * @module
 */
import { readFileSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { type EventIds, formatEventIds, parseEventIds } from "../../wire/event_ids.ts";
import { DedupIndex, formatSource, parseSource } from "./dedup_index.ts";
import { AppendFile, syncDirectory } from "./output_file.ts";

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
}

/** A batch that is about to be appended. */
export interface JournalBatch {
  /** Where its events begin and end in the file, in bytes. */
  readonly beginBytes: number;
  readonly endBytes: number;
  readonly eventCount: number;
  /** Whose ids they are. */
  readonly source: string;
  readonly ids: EventIds | undefined;
}

/** What a journal tells of a file. */
export interface Recovered extends Omit<JournalHeader, "startBytes"> {
  /** How much of the file is whole, in bytes; undefined: the journal does not reach as far as the file does. */
  readonly wholeBytes: number | undefined;
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

  append(batches: readonly JournalBatch[]): void {
    this.#file.append(Buffer.from(batches.map(formatBatch).join("")));
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

function formatStart({ startBytes, openedAtMs, rotationCount }: JournalHeader, seen: DedupIndex): string {
  const lines = [`eventspool-journal 1 ${startBytes} ${openedAtMs} ${rotationCount}\n`];
  for (const queue of seen.queues()) lines.push(`seen ${seen.format(queue)}\n`);
  return lines.join("");
}

function formatBatch({ beginBytes, endBytes, eventCount, source, ids }: JournalBatch): string {
  const named = ids === undefined ? "-" : formatEventIds(ids.queue, ids.ranges);
  return `batch ${beginBytes} ${endBytes} ${eventCount} ${formatSource(source)} ${named}\n`;
}

/**
 * Reads the journal of a file that is `sizeBytes` large. What cannot be read, such as the end after a power cut, is
 * forgotten, and so is all when the file is smaller than when the journal was written: somebody has moved or cut it.
 */
export function recover(path: string, sizeBytes: number): Recovered {
  const lines = readLines(path);
  const header = parseHeader(lines[0] ?? "");
  if (header === undefined || header.startBytes > sizeBytes)
    return {
      openedAtMs: Date.now(),
      rotationCount: 0,
      ...header,
      wholeBytes: undefined,
      seen: new DedupIndex(),
    };
  const { startBytes } = header;
  const seen = new DedupIndex();
  let at = 1;
  while (lines[at]?.startsWith("seen ") && seen.restore(lines[at]!.slice("seen ".length))) at++;
  return { ...header, wholeBytes: recoverBatches(lines.slice(at), { startBytes, sizeBytes }, seen), seen };
}

/** Notes the batches that are there whole; each begins where the one before ends. */
function recoverBatches(
  lines: readonly string[],
  { startBytes, sizeBytes }: { startBytes: number; sizeBytes: number },
  seen: DedupIndex,
): number | undefined {
  let endBytes = startBytes;
  for (const line of lines) {
    const batch = parseBatch(line);
    if (batch?.beginBytes !== endBytes) break;
    if (batch.endBytes > sizeBytes) return batch.beginBytes;
    if (batch.ids !== undefined) seen.add(batch.source, batch.ids, batch.eventCount);
    ({ endBytes } = batch);
  }
  return endBytes === sizeBytes ? sizeBytes : undefined;
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
  const [, startBytes, openedAtMs, rotationCount] =
    /^eventspool-journal 1 (\d+) (\d+) (\d+)$/.exec(line) ?? [];
  if (startBytes === undefined) return undefined;
  return {
    startBytes: Number(startBytes),
    openedAtMs: Number(openedAtMs),
    rotationCount: Number(rotationCount),
  };
}

function parseBatch(line: string): JournalBatch | undefined {
  const [, begin, end, count, name, text] = /^batch (\d+) (\d+) (\d+) (\S*) (\S+)$/.exec(line) ?? [];
  const source = parseSource(name ?? "");
  if (begin === undefined || source === undefined) return undefined;
  const ids = text === "-" ? undefined : parseEventIds(text!);
  if (text !== "-" && ids === undefined) return undefined;
  return { beginBytes: Number(begin), endBytes: Number(end), eventCount: Number(count), source, ids };
}
