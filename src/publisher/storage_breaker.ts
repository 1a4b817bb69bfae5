/**
 * What a publisher does when the queue's file fails: on a full disk, under a stolen lock, in a directory that is gone.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Ballast } from "../storage/ballast.ts";
import type { Checkpoints } from "../storage/checkpoints.ts";
import type { QueueFile } from "../storage/queue_file.ts";
import { isDiskFull } from "../storage/storage_error.ts";
import { CircuitBreaker } from "./circuit_breaker.ts";
import type { PublisherCounts } from "./counts.ts";
import type { PublisherProblem } from "./health.ts";
import * as log from "./log.ts";

/** The last ceiling of the backoff from a queue file that fails, in milliseconds: trying again burdens nobody else. */
const STORAGE_BACKOFF_MAX_MS = 1_000;

/** What the breaker works with. */
export interface StorageBreakerDependencies {
  readonly file: QueueFile;
  readonly ballast: Ballast;
  readonly checkpoints: Checkpoints;
  readonly counts: PublisherCounts;
}

/** The circuit breaker of the queue's file. All who use the file report failures here, and nowhere else. */
export class StorageBreaker {
  readonly #dependencies: StorageBreakerDependencies;
  readonly #breaker = new CircuitBreaker(STORAGE_BACKOFF_MAX_MS);
  #lastProblem: PublisherProblem | undefined;

  constructor(dependencies: StorageBreakerDependencies) {
    this.#dependencies = dependencies;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#breaker.failures;
  }

  /** The last failure, whether or not it is over; undefined: there was none. */
  get lastProblem(): PublisherProblem | undefined {
    return this.#lastProblem;
  }

  /** For how long the file is left alone, in milliseconds. */
  openForMs(): number {
    return this.#breaker.openForMs();
  }

  /** After a failure: whether the file can be written again, which reads alone do not show. @throws {EventStorageError} it cannot */
  probe(): void {
    if (this.failures > 0) this.#dependencies.file.checkWritable();
  }

  /** Notes that the file was written. */
  succeeded(): void {
    this.#breaker.succeeded();
  }

  /** Notes a failure, and frees space on a full disk. Returns how long to leave the file alone, in milliseconds. */
  failed(error: unknown): number {
    const message = error instanceof Error ? error.message : String(error);
    // Tried again every second: a line each time would help to fill the disk.
    const isNews = this.failures === 0 || this.#lastProblem?.message !== message;
    this.#lastProblem = { atMs: Date.now(), kind: "storage", message };
    this.#dependencies.counts.storageFailures++;
    if (isDiskFull(error)) this.#freeSpace();
    const retryInMs = this.#breaker.failed();
    log.logStorageFailure(message, { retryInMs, isNews });
    return retryInMs;
  }

  /**
   * Settles until the file allows it: what the collector has accepted and we forget is sent a second time. Once `stop`
   * aborts, it tries once more, and rejects with the last failure.
   *
   * @param settle must be safe to run again after it threw
   */
  async retrySettle<T>(settle: () => T | Promise<T>, stop: AbortSignal): Promise<T> {
    for (;;) {
      try {
        return await settle();
      } catch (error) {
        if (stop.aborted) throw error;
        await sleep(this.failed(error), undefined, { signal: stop }).catch(() => {}); // stopped: try once more
      }
    }
  }

  /** Gives up the ballast and what the -wal holds, so that the queue can be drained on a full disk, too. */
  #freeSpace(): void {
    const { file, ballast, checkpoints } = this.#dependencies;
    if (ballast.release()) log.logBallastReleased();
    if (file.isOutbox) return; // its checkpoints are the service's
    try {
      checkpoints.truncateWal();
    } catch {
      // as full as before, and that failure has been reported
    }
  }
}
