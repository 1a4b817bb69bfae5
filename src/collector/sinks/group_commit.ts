/**
 * Batches that share a commit.
 *
 * @module
 */
import { clearTimeout, setTimeout } from "node:timers";
import { setImmediate as nextTurn } from "node:timers/promises";
import { integerFrom, type OptionKinds, oneOf } from "../../options.ts";
import type { AcceptedBatch, EventList, StoreResult } from "./sink.ts";

/**
 * How many batches a sink commits together at most, and how large they are in bytes: 8 MiB take some 10 ms to
 * write, for which the event loop stands still.
 */
const MAX_GROUP_BATCHES = 64;
export const MAX_GROUP_BYTES = 8_388_608;

/**
 * When what was written is synced to the disk: `always`, before the publisher is told that its events arrived;
 * `interval`, some time later; `never`, when the operating system sees fit. All of them survive the death of
 * the process; the last two lose what was not synced when the machine dies.
 */
export type FsyncPolicy = "always" | "interval" | "never";

/** How a sink syncs. */
export interface SyncOptions {
  /** Default: `always`. */
  readonly fsync?: FsyncPolicy | undefined;
  /** With `interval`: how long after a write, in milliseconds. Default: 100. */
  readonly fsyncIntervalMs?: number | undefined;
}

/** The kinds of these options. */
export const SYNC_OPTION_KINDS: OptionKinds<SyncOptions> = {
  fsync: oneOf("always", "interval", "never"),
  fsyncIntervalMs: integerFrom(1),
};

/** What keeps a group of batches. */
export interface GroupTarget {
  /** Writes all of the group or, when it throws, nothing. */
  write(group: readonly AcceptedBatch[]): readonly StoreResult[];
  /** Resolves when all that was written is on the disk. */
  sync(): Promise<void>;
  /** A group is written and, as far as the policy says, on the disk: its batches are about to be answered. */
  written(): void;
  /** A group was written and could not be synced: takes it back. Throws when it cannot. */
  undo(): void;
  /** Called before each group, and when {@link GroupCommitter.wake} was. */
  maintain(): void;
}

interface WaitingBatch {
  readonly batch: AcceptedBatch;
  readonly resolve: (stored: StoreResult) => void;
  readonly reject: (error: unknown) => void;
}

/** Options of {@link GroupCommitter}. */
export interface GroupCommitterOptions {
  readonly fsync: FsyncPolicy;
  readonly fsyncIntervalMs: number;
  /** Default: 8 MiB. */
  readonly maxGroupBytes?: number;
}

/**
 * Has batches written one group after the other: those that came in one turn of the event loop, or while the group
 * before was synced. So however many publishers send at once, one sync serves all that wait for it.
 */
export class GroupCommitter {
  readonly #target: GroupTarget;
  readonly #options: GroupCommitterOptions;
  readonly #waiting: WaitingBatch[] = [];
  #running: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isDirty = false;
  #syncedAtMs = performance.now();
  /** Why nothing more is taken. */
  #failure: unknown;

  constructor(target: GroupTarget, options: GroupCommitterOptions) {
    this.#target = target;
    this.#options = options;
  }

  /** Resolves when the batch is kept, rejects when it is not. */
  store(batch: AcceptedBatch): Promise<StoreResult> {
    const { promise, resolve, reject } = Promise.withResolvers<StoreResult>();
    this.#waiting.push({ batch, resolve, reject });
    this.wake();
    return promise;
  }

  /** Has the target tended to, also when no batch comes. */
  wake(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when all that came before is kept, or rejected; whatever comes later is rejected with `reason`. */
  async close(reason: Error): Promise<void> {
    await this.#running;
    clearTimeout(this.#timer);
    const isWhole = this.#failure === undefined;
    this.#failure ??= reason;
    if (isWhole && this.#isDirty && this.#options.fsync !== "never") await this.#target.sync();
  }

  async #run(): Promise<void> {
    await nextTurn(); // more batches may come in this one
    try {
      do await this.#turn();
      while (this.#waiting.length > 0);
    } finally {
      this.#running = undefined;
    }
  }

  async #turn(): Promise<void> {
    const group = this.#takeGroup();
    try {
      if (this.#failure !== undefined) throw this.#failure;
      this.#target.maintain();
      const stored = group.length === 0 ? [] : await this.#commit(group.map(({ batch }) => batch));
      for (const [index, { resolve }] of group.entries()) resolve(stored[index]!);
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
    await this.#syncWhenDue();
  }

  async #commit(group: readonly AcceptedBatch[]): Promise<readonly StoreResult[]> {
    const stored = this.#target.write(group);
    if (this.#options.fsync === "always" && stored.some((batch) => batch.stored > 0))
      await this.#syncOrUndo();
    this.#target.written();
    this.#isDirty = true;
    return stored;
  }

  async #syncOrUndo(): Promise<void> {
    try {
      await this.#target.sync();
    } catch (error) {
      try {
        this.#target.undo();
      } catch {
        this.#failure = error; // what the file holds is not known any more
      }
      throw error;
    }
  }

  /** Batches until they are as large as a group may be, and no two that may be of the same events. */
  #takeGroup(): WaitingBatch[] {
    const { maxGroupBytes = MAX_GROUP_BYTES } = this.#options;
    let count = 0;
    let sizeBytes = 0;
    for (const { batch } of this.#waiting) {
      sizeBytes += linesSizeBytes(batch.events);
      if (count === MAX_GROUP_BATCHES || (count > 0 && sizeBytes > maxGroupBytes)) break;
      if (this.#waiting.slice(0, count).some((other) => mayOverlap(other.batch, batch))) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #syncWhenDue(): Promise<void> {
    const { fsync, fsyncIntervalMs } = this.#options;
    if (fsync !== "interval" || !this.#isDirty || this.#failure !== undefined) return;
    const leftMs = this.#syncedAtMs + fsyncIntervalMs - performance.now();
    if (leftMs > 0) {
      this.#timer ??= setTimeout(() => this.#onTimer(), leftMs).unref();
      return;
    }
    try {
      await this.#target.sync();
      this.#isDirty = false;
      this.#syncedAtMs = performance.now();
    } catch (error) {
      this.#failure = error; // batches were answered that may not be on the disk: better to say so
    }
  }

  #onTimer(): void {
    this.#timer = undefined;
    this.wake();
  }
}

/** How large events are as lines, in bytes. */
export function linesSizeBytes(events: EventList): number {
  let sizeBytes = events.count;
  for (let index = 0; index < events.count; index++) sizeBytes += events.sizeBytes(index);
  return sizeBytes;
}

/** Whether their ids are of one queue and lie among each other's: a batch that was sent again while it was on its way. */
function mayOverlap({ ids: a }: AcceptedBatch, { ids: b }: AcceptedBatch): boolean {
  if (a === undefined || b === undefined || a.queue !== b.queue) return false;
  return a.ranges[0]!.firstId <= b.ranges.at(-1)!.lastId && b.ranges[0]!.firstId <= a.ranges.at(-1)!.lastId;
}
