/** Maintenance of the queue file: trim, checkpoint, sync, compact, and keep a ballast. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Ballast } from "../storage/ballast.ts";
import { removeAbandoned } from "../storage/locations.ts";
import type { QueueFile } from "../storage/queue_file.ts";
import { SubscriptionTable } from "../storage/subscriptions.ts";
import { Trimmer } from "../storage/trim.ts";
import { type Checkpoints, compact, syncWal } from "../storage/wal.ts";
import type { StorageBreaker } from "./circuit_breaker.ts";
import * as log from "./log.ts";
import { type Timings, WakeableSleep } from "./waiting.ts";

/** How often the -wal is checked, in milliseconds. */
const CHECKPOINT_EVERY_MS = 1_000;

/** How often the lag of best-effort subscriptions is checked, in milliseconds. */
const LAG_CHECK_MS = 1_000;

/** How often skipped events are logged, in milliseconds: a subscription without a publisher skips some at each check. */
const SKIP_LOG_MS = 60_000;

/** How often an idle publisher checks whether events can be trimmed, in milliseconds. */
const TRIM_EVERY_MS = 250;

/** The most chunks trimmed in a row on a disk that is nearly full: 10 ms. */
const MAX_CHUNKS = 8;

/** How long to wait after a failed sync of the -wal, in milliseconds. */
const RESYNC_MS = 10_000;

/** Dependencies of {@link Maintenance}. */
export interface MaintenanceDependencies {
  readonly file: QueueFile;
  readonly ballast: Ballast;
  readonly checkpoints: Checkpoints;
  readonly storage: StorageBreaker;
  readonly timings: Timings;
}

/**
 * Trims, checkpoints, syncs and compacts the queue file, and keeps a ballast for a full disk. A service's database is only
 * trimmed, and gets a ballast if one is configured: our checkpoints could lock the service out, its `synchronous` decides
 * what a power cut may lose, and VACUUM may change rowids.
 */
export class Maintenance {
  /**
   * Whether the publisher is idle: it polls once a second and calls {@link onIdle} each time. When somebody writes, it
   * calls {@link written}.
   */
  isIdle = false;
  readonly #file: QueueFile;
  readonly #checkpoints: Checkpoints;
  readonly #ballast: Ballast;
  readonly #storage: StorageBreaker;
  readonly #timings: Timings;
  readonly #trimmer: Trimmer;
  #trimAtMs = 0;
  readonly #subscriptions: SubscriptionTable;
  readonly #skipped = new Map<string, { count: number; logAtMs: number }>();
  readonly #syncSleep = new WakeableSleep();

  constructor({ file, ballast, checkpoints, storage, timings }: MaintenanceDependencies) {
    this.#file = file;
    this.#ballast = ballast;
    this.#checkpoints = checkpoints;
    this.#storage = storage;
    this.#timings = timings;
    this.#trimmer = new Trimmer(file);
    this.#subscriptions = new SubscriptionTable(file);
  }

  /** Works until `signal` aborts. A failure is reported and retried. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", this.#syncSleep.wake, { once: true });
    const ofEach = [
      this.#repeat(signal, LAG_CHECK_MS, async () => this.#skipLagging()),
      this.#keepBallast(signal),
    ];
    if (this.#file.isOutbox) return void (await Promise.all(ofEach));
    await Promise.all([
      ...ofEach,
      this.#repeat(signal, RESYNC_MS, () => syncWal(this.#file, { signal, written: this.#untilWritten })),
      this.#repeat(signal, CHECKPOINT_EVERY_MS, async () => {
        if (!this.isIdle) this.#checkpoints.keepUp();
      }),
    ]);
  }

  /** Call it when somebody has written while the publisher was idle. */
  written(): void {
    this.#syncSleep.wake();
  }

  /** Call it before a claim, which has to write: on a disk that is nearly full it makes room. @throws {EventStorageError} */
  beforeClaim(): void {
    if (this.#checkpoints.isDiskLow) this.keepUp();
  }

  /** Call it as leases are settled. @param settledBytes how large they were @throws {EventStorageError} */
  keepUp(settledBytes: number = 0): void {
    if (!this.#file.isOutbox) this.#checkpoints.keepUp();
    let hasMore = this.#trimmer.keepUp(settledBytes);
    for (let chunks = 0; hasMore && chunks < MAX_CHUNKS; chunks++, hasMore = this.#trimmer.keepUp())
      if (!this.#file.isOutbox) this.#checkpoints.truncateWal();
  }

  /**
   * Call it while the queue is idle. Returns whether there is more to do soon.
   *
   * @param idle how long nothing was claimed, and how long nothing was written, in milliseconds: a trim writes
   * @throws {EventStorageError}
   */
  onIdle({ unclaimedForMs, unwrittenForMs }: { unclaimedForMs: number; unwrittenForMs: number }): boolean {
    if (this.#trims(unclaimedForMs)) {
      if (!this.#file.isOutbox) this.#checkpoints.keepUp();
      return true;
    }
    if (this.#file.isOutbox) return false;
    this.#checkpoints.onIdle();
    if (Math.min(unclaimedForMs, unwrittenForMs) >= this.#timings.compactMs) compact(this.#file);
    return false;
  }

  /** An idle publisher is woken by each put, and would check each time. */
  #trims(unclaimedForMs: number): boolean {
    const nowMs = performance.now();
    if (nowMs < this.#trimAtMs) return false;
    const hasMore = this.#trimmer.onIdle(unclaimedForMs);
    this.#trimAtMs = hasMore ? 0 : nowMs + TRIM_EVERY_MS;
    return hasMore;
  }

  #skipLagging(): void {
    const nowMs = performance.now();
    for (const { subscription, count } of this.#subscriptions.skipLagging()) {
      const skipped = this.#skipped.get(subscription) ?? { count: 0, logAtMs: 0 };
      skipped.count += count;
      this.#skipped.set(subscription, skipped);
    }
    for (const [subscription, skipped] of this.#skipped) {
      if (skipped.count === 0 || nowMs < skipped.logAtMs) continue;
      log.logSkipped(subscription, skipped.count);
      this.#skipped.set(subscription, { count: 0, logAtMs: nowMs + SKIP_LOG_MS });
    }
  }

  /** When idle, wait for a write: ten checks a second took a third of an idle publisher's CPU. */
  readonly #untilWritten = (): Promise<void> | undefined =>
    this.isIdle ? this.#syncSleep.sleep(Number.POSITIVE_INFINITY) : undefined;

  /** It waits first: delivery starts before. */
  async #keepBallast(signal: AbortSignal): Promise<void> {
    let report = log.logNoBallast; // once, not every five seconds
    while (!signal.aborted) {
      await pause(this.#timings.ballastMs, signal);
      if (signal.aborted) return;
      if (!this.#file.isOutbox) removeAbandoned(this.#file.path); // left by a process that was killed while it created the file
      await this.#ballast.make().catch((error: unknown) => {
        report(error);
        report = () => {};
      });
    }
  }

  async #repeat(signal: AbortSignal, everyMs: number, work: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      try {
        await work();
      } catch (error) {
        this.#storage.failed(error);
      }
      await pause(everyMs, signal);
    }
  }
}

/** Sleeps. Ends early, without an error, when `signal` aborts. */
async function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  await sleep(durationMs, undefined, { signal }).catch(() => {});
}
