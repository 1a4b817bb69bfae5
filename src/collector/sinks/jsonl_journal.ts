/**
 * The journal of a file of JSON lines: the ids of its events.
 *
 * Beside `events.jsonl` is `events.jsonl.journal`. Before a batch is appended to the file, the journal gets a line with
 * the place where the batch will begin and end, and its ids. So after a crash the size of the file shows which batches
 * are complete. An incomplete one is removed: its publisher got no response.
 *
 * ```text
 * eventspool-journal 1 START OPENED_AT_MS ROTATION_COUNT
 * seen SOURCE QUEUE_UUID:1-100,105       stored in the first START bytes of the file, or in rotated files
 * batch BEGIN END EVENT_COUNT SOURCE IDS IDS as in Event-Ids, or - if the batch has none
 * ```
 *
 * @module
 */
import { readFileSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
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
}

/** A batch that will be appended. */
export interface JournalBatch {
  /** Where its events begin and end in the file, in bytes. */
  readonly beginBytes: number;
  readonly endBytes: number;
  readonly eventCount: number;
  /** The source of the ids. */
  readonly source: string;
  readonly ids: EventIds | undefined;
}

/** What a journal says about a file. */
export interface Recovered extends Omit<JournalHeader, "startBytes"> {
  /** The end of the last complete batch, in bytes. Undefined: the journal ends before the file does. */
  readonly wholeBytes: number | undefined;
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

  append(batches: readonly JournalBatch[]): void {
    this.#file.append(Buffer.from(batches.map(formatBatch).join("")));
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
 * Reads the journal of a file of `sizeBytes`. Lines that cannot be read, for example after a power cut, and all lines
 * behind them are ignored. The whole journal is ignored if the file is smaller than when the journal was written:
 * someone moved or truncated the file.
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

/** Adds the ids of the complete batches; each batch begins where the one before ends. */
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
