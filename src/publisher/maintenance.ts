/**
 * What a publisher does for its queue's file besides emptying it.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Ballast } from "../storage/ballast.ts";
import { Checkpoints, compact } from "../storage/checkpoints.ts";
import type { QueueFile } from "../storage/queue_file.ts";
import { isDiskFull } from "../storage/storage_error.ts";
import { removeAbandoned } from "../storage/temporary_file.ts";
import { syncWal } from "../storage/wal_sync.ts";
import * as log from "./log.ts";
import { waits } from "./waits.ts";
import { WakeableSleep } from "./wakeable_sleep.ts";

/** How often the -wal is looked at, in milliseconds, whatever else happens. */
const CHECKPOINT_EVERY_MS = 1_000;

/** How long to wait after a failed sync of the -wal, in milliseconds. */
const RESYNC_MS = 10_000;

/** What maintenance works with. */
export interface MaintenanceDependencies {
  readonly file: QueueFile;
  /** The size of the ballast, in bytes; 0: none. */
  readonly ballastBytes: number;
  /**
   * Whether the publisher has nothing to do but to look once a second, which it then tidies up at, and calls
   * {@link Maintenance.written} when somebody writes.
   */
  readonly isIdle: () => boolean;
  /** Told when the file fails. */
  readonly onFailure: (error: unknown) => void;
}

/**
 * Checkpoints, syncs, compacts, and keeps a ballast for a full disk. Not of a service's database: checkpoints that
 * lock it out are not ours to make, its `synchronous` says what a power cut may take, and VACUUM may give its rows
 * other rowids. There it keeps a ballast, if one was asked for.
 */
export class Maintenance {
  readonly #file: QueueFile;
  readonly #checkpoints: Checkpoints;
  readonly #ballast: Ballast;
  readonly #isIdle: () => boolean;
  readonly #onFailure: (error: unknown) => void;
  readonly #syncSleeper = new WakeableSleep();

  constructor({ file, ballastBytes, isIdle, onFailure }: MaintenanceDependencies) {
    this.#file = file;
    this.#isIdle = isIdle;
    this.#checkpoints = new Checkpoints(file);
    this.#ballast = new Ballast(file.path, ballastBytes);
    this.#onFailure = onFailure;
  }

  /** Keeps house until `signal` aborts. A failing file or disk is told of, and tried again. */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#file.isOutbox) return this.#keepBallast(signal);
    signal.addEventListener("abort", this.#syncSleeper.wake, { once: true });
    await Promise.all([
      this.#repeat(signal, RESYNC_MS, () => syncWal(this.#file, { signal, written: this.#untilWritten })),
      this.#repeat(signal, CHECKPOINT_EVERY_MS, async () => {
        if (!this.#isIdle()) this.#checkpoints.keepUp();
      }),
      this.#keepBallast(signal),
    ]);
  }

  /** To be called when somebody has written while the publisher was idle, or was found to have. */
  written(): void {
    this.#syncSleeper.wake();
  }

  /** To be called as leases are settled. @throws {EventStorageError} */
  keepUp(): void {
    if (!this.#file.isOutbox) this.#checkpoints.keepUp();
  }

  /** To be called while the queue is idle. @param idleForMs for how long it has been, in milliseconds @throws {EventStorageError} */
  onIdle(idleForMs: number): void {
    if (this.#file.isOutbox) return;
    this.#checkpoints.onIdle();
    if (idleForMs >= waits.compactMs) compact(this.#file);
  }

  /** On a full disk, gives up the ballast and what the -wal holds, so that the queue can be drained all the same. */
  freeSpace(error: unknown): void {
    if (!isDiskFull(error)) return;
    if (this.#ballast.release()) log.logBallastReleased();
    if (this.#file.isOutbox) return;
    try {
      this.#checkpoints.truncateWal();
    } catch {
      // as full as before: the failure itself has been told
    }
  }

  /** Looking ten times a second for nothing was a third of an idle publisher's CPU. */
  readonly #untilWritten = (): Promise<void> | undefined =>
    this.#isIdle() ? this.#syncSleeper.sleep(Number.POSITIVE_INFINITY) : undefined;

  /** Not at once: starting to deliver comes first. */
  async #keepBallast(signal: AbortSignal): Promise<void> {
    let tell = log.logNoBallast; // once, not every five seconds
    while (!signal.aborted) {
      await pause(waits.ballastMs, signal);
      if (signal.aborted) return;
      if (!this.#file.isOutbox) removeAbandoned(this.#file.path); // of a process that was killed while it made the file
      await this.#ballast.make().catch((error: unknown) => {
        tell(error);
        tell = () => {};
      });
    }
  }

  async #repeat(signal: AbortSignal, everyMs: number, work: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      try {
        await work();
      } catch (error) {
        this.#onFailure(error);
      }
      await pause(everyMs, signal);
    }
  }
}

/** Sleeps, and ends early without an error when `signal` aborts. */
async function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  await sleep(durationMs, undefined, { signal }).catch(() => {});
}
