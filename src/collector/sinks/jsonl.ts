import { clearTimeout, setTimeout } from "node:timers";
import { DEFAULT_FSYNC_INTERVAL_MS } from "../../config/sink_config.ts";
import { EventStorageError } from "../../errors.ts";
import { checkOption, checkOptions, type OptionKinds, STRING, wholeFrom } from "../../options.ts";
import type { DedupIndex } from "../dedup/index.ts";
import { DEFAULT_OUTPUT_MODE } from "./append_file.ts";
import {
  GroupCommitter,
  type GroupTarget,
  linesSizeBytes,
  MAX_GROUP_BYTES,
  SYNC_OPTION_KINDS,
  type SyncOptions,
} from "./group_commit.ts";
import { type BatchLines, JsonlOutput } from "./jsonl_output.ts";
import type { AcceptedBatch, Sink, Stored } from "./sink.ts";

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
  rotateSizeBytes: wholeFrom(1),
  rotateAgeMs: wholeFrom(1),
  fileMode: wholeFrom(0o600, 0o777),
};

/** What of a batch is to be written, and what to answer. */
interface Selected extends BatchLines {
  readonly stored: Stored;
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
  store(batch: AcceptedBatch): Promise<Stored> {
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

  #write(batches: readonly AcceptedBatch[]): readonly Stored[] {
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
