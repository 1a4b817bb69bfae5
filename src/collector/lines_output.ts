import { fstatSync, realpathSync, renameSync } from "node:fs";
import { dirname } from "node:path";
import { getLogger } from "@logtape/logtape";
import type { EventStorageError } from "../errors.ts";
import { type AppendFile, syncDirectory } from "./append_file.ts";
import type { EventIds } from "./event_ids.ts";
import type { EventList } from "./event_list.ts";
import { IdJournal, type JournalBatch, type JournalHeader } from "./id_journal.ts";
import { describeWriteError, mendLinesFile, openLinesFile, unusable } from "./lines_file.ts";
import { OutputLock } from "./output_lock.ts";
import { rotatedPath } from "./rotated_path.ts";
import type { SeenIds } from "./seen_ids.ts";

/** What is to be written of a batch. */
export interface BatchLines {
  readonly events: EventList;
  /** How large its lines are, in bytes. */
  readonly sizeBytes: number;
  /** How many events the batch had, also those that are not to be written. */
  readonly eventCount: number;
  readonly ids: EventIds | undefined;
}

const logger = getLogger(["eventspool", "collector"]);

/** A file of JSON lines with its journal and its lock, and the files that come after it. */
export class LinesOutput {
  /** The file's path, free of links. */
  readonly path: string;
  /** The ids of what is kept. */
  readonly seen: SeenIds;
  readonly #lock: OutputLock;
  readonly #journal: IdJournal;
  #file: AppendFile;
  #openedAtMs: number;
  #rotationCount: number;
  /** How long both files were before the last append, in bytes. */
  #before = { fileBytes: 0, journalBytes: 0 };
  /** Why nothing more can be written. */
  #failure: EventStorageError | undefined;

  /** @throws {EventStorageError} */
  constructor(path: string) {
    this.#file = openLinesFile(path);
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
      this.#journal = new IdJournal(journalPath, this.#header(), this.seen);
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
  tend(): void {
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
      const file = openLinesFile(this.path);
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
  return written.map(({ eventCount, ids, sizeBytes }) => {
    const beginBytes = endBytes;
    endBytes += sizeBytes;
    return { beginBytes, endBytes, eventCount, ids };
  });
}
