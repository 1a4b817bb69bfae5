/** Batches that share a commit. */
import { clearTimeout, setTimeout } from "node:timers";
import { setImmediate as nextTurn } from "node:timers/promises";
import { DEFAULT_FSYNC_INTERVAL_MS } from "../../config/collector_defaults.ts";
import { EventStorageError } from "../../errors.ts";
import { type OptionKinds, oneOf, wholeFrom } from "../../options.ts";
import type { AcceptedBatch, EventList, Sink, StoreResult } from "./sink.ts";

/** The most batches in one commit. */
const MAX_GROUP_BATCHES = 64;

/** The most bytes in one commit: 8 MiB take some 10 ms to write, and the event loop waits for that. */
export const MAX_GROUP_BYTES = 8_388_608;

/**
 * When written events are synced to the disk: `always`, before the publisher gets its response; `interval`, a short
 * time later; `never`, when the operating system decides. With all of them events survive the death of the process.
 * With the last two a power cut loses what was not synced.
 */
export type FsyncPolicy = "always" | "interval" | "never";

/** How a sink syncs. */
export interface SyncOptions {
  /** Default: `always`. */
  readonly fsync?: FsyncPolicy | undefined;
  /** With `interval`: how long after a write to sync, in milliseconds. Default: 100. */
  readonly fsyncIntervalMs?: number | undefined;
}

/** The kinds of these options. */
export const SYNC_OPTION_KINDS: OptionKinds<SyncOptions> = {
  fsync: oneOf("always", "interval", "never"),
  fsyncIntervalMs: wholeFrom(1),
};

/** What stores a group of batches. */
export interface GroupTarget {
  /** Where it stores, for errors. */
  readonly path: string;
  /** Writes the whole group or, when it throws, nothing. */
  write(group: readonly AcceptedBatch[]): readonly StoreResult[];
  /** Resolves when everything written is on the disk. */
  sync(): Promise<void>;
  /** Called when a group is written and, as far as the policy says, synced: its batches are about to be acknowledged. */
  onCommit(): void;
  /** Removes a group that was written and could not be synced. Throws when it cannot. */
  undo(): void;
  /** Called before each group, and after {@link GroupCommitSink.wake}. */
  maintain(): void;
  /** Closes files and releases locks. */
  close(): void;
}

/** Options of {@link GroupCommitSink}. */
export interface GroupCommitOptions extends SyncOptions {
  /** Default: 8 MiB. */
  readonly maxGroupBytes?: number | undefined;
}

interface WaitingBatch {
  readonly batch: AcceptedBatch;
  readonly resolve: (result: StoreResult) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A sink that writes batches group by group. A group is all batches that came in one tick of the event loop, or while
 * the group before was synced. So one sync serves all batches that wait for it, however many publishers there are.
 */
export class GroupCommitSink implements Sink {
  readonly #target: GroupTarget;
  readonly #fsync: FsyncPolicy;
  readonly #fsyncIntervalMs: number;
  readonly #maxGroupBytes: number;
  readonly #waiting: WaitingBatch[] = [];
  #running: Promise<void> | undefined;
  /** Whether there is more to do after the group that is being stored. */
  #isWoken = false;
  #closing: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isDirty = false;
  #syncedAtMs = performance.now();
  /** Why no further batch is stored. */
  #failure: unknown;

  /** @internal */
  constructor(target: GroupTarget, options: GroupCommitOptions) {
    this.#target = target;
    this.#fsync = options.fsync ?? "always";
    this.#fsyncIntervalMs = options.fsyncIntervalMs ?? DEFAULT_FSYNC_INTERVAL_MS;
    this.#maxGroupBytes = options.maxGroupBytes ?? MAX_GROUP_BYTES;
  }

  /**
   * Stores a whole batch, or nothing.
   *
   * @throws {EventStorageError} (rejects) the batch is not stored, for example `ENOSPC` or `SQLITE_FULL`
   */
  store(batch: AcceptedBatch): Promise<StoreResult> {
    const { promise, resolve, reject } = Promise.withResolvers<StoreResult>();
    this.#waiting.push({ batch, resolve, reject });
    this.wake();
    return promise;
  }

  /** @internal Runs the target's `maintain`, also when no batch comes: soon, or after the group that is being stored. */
  wake(): void {
    this.#isWoken = true;
    this.#running ??= this.#run();
  }

  /** Finishes the batches in flight and closes the file. Later batches are rejected with `CLOSED`. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** {@link close}, at the end of the scope of an `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const { path } = this.#target;
    try {
      await this.#running;
      clearTimeout(this.#timer);
      const mustSync = this.#failure === undefined && this.#isDirty && this.#fsync !== "never";
      this.#failure ??= new EventStorageError("CLOSED", path, `${path} is closed.`);
      if (mustSync) await this.#target.sync();
    } finally {
      this.#target.close();
    }
  }

  async #run(): Promise<void> {
    await nextTurn(); // more batches may come in this one
    try {
      do {
        this.#isWoken = false;
        await this.#turn();
      } while (this.#waiting.length > 0 || this.#isWoken);
    } finally {
      this.#running = undefined;
    }
  }

  async #turn(): Promise<void> {
    const group = this.#takeGroup();
    try {
      if (this.#failure !== undefined) throw this.#failure;
      this.#target.maintain();
      const results = group.length === 0 ? [] : await this.#commit(group.map(({ batch }) => batch));
      for (const [index, { resolve }] of group.entries()) resolve(results[index]!);
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
    await this.#syncWhenDue();
  }

  async #commit(group: readonly AcceptedBatch[]): Promise<readonly StoreResult[]> {
    const results = this.#target.write(group);
    const mustSync = this.#fsync === "always" && results.some(({ stored }) => stored > 0);
    if (mustSync) await this.#syncOrUndo();
    this.#target.onCommit();
    this.#isDirty = !mustSync;
    return results;
  }

  async #syncOrUndo(): Promise<void> {
    try {
      await this.#target.sync();
    } catch (error) {
      try {
        this.#target.undo();
      } catch {
        this.#failure = error; // nobody knows any more what the file holds
      }
      throw error;
    }
  }

  /** Takes batches up to the size of a group, and no two that may hold the same events. */
  #takeGroup(): WaitingBatch[] {
    let count = 0;
    let sizeBytes = 0;
    for (const { batch } of this.#waiting) {
      sizeBytes += linesSizeBytes(batch.events);
      if (count === MAX_GROUP_BATCHES || (count > 0 && sizeBytes > this.#maxGroupBytes)) break;
      if (this.#waiting.slice(0, count).some((other) => mayOverlap(other.batch, batch))) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #syncWhenDue(): Promise<void> {
    if (this.#fsync !== "interval" || !this.#isDirty || this.#failure !== undefined) return;
    const leftMs = this.#syncedAtMs + this.#fsyncIntervalMs - performance.now();
    if (leftMs > 0) {
      this.#timer ??= setTimeout(() => this.#onTimer(), leftMs).unref();
      return;
    }
    try {
      await this.#target.sync();
      this.#isDirty = false;
      this.#syncedAtMs = performance.now();
    } catch (error) {
      this.#failure = error; // acknowledged batches may not be on the disk: fail, so that someone looks
    }
  }

  #onTimer(): void {
    this.#timer = undefined;
    this.wake();
  }
}

/** The size of events as lines, in bytes. */
export function linesSizeBytes(events: EventList): number {
  let sizeBytes = events.count;
  for (let index = 0; index < events.count; index++) sizeBytes += events.sizeBytes(index);
  return sizeBytes;
}

/** Whether both batches are of one queue and their ids overlap: a batch that was sent again while the first is stored. */
function mayOverlap({ ids: a }: AcceptedBatch, { ids: b }: AcceptedBatch): boolean {
  if (a === undefined || b === undefined || a.queue !== b.queue) return false;
  return a.ranges[0]!.firstId <= b.ranges.at(-1)!.lastId && b.ranges[0]!.firstId <= a.ranges.at(-1)!.lastId;
}
