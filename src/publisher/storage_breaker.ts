/**
 * The circuit breaker of the queue file, for a full disk, a lost lock or a missing directory.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Ballast } from "../storage/ballast.ts";
import type { QueueFile } from "../storage/queue_file.ts";
import { isDiskFull } from "../storage/storage_error.ts";
import type { Checkpoints } from "../storage/wal.ts";
import { CircuitBreaker } from "./circuit_breaker.ts";
import type { PublisherCounts } from "./counts.ts";
import type { PublisherProblem } from "./health.ts";
import * as log from "./log.ts";

/** The longest backoff from a failing queue file, in milliseconds. It is short: a retry burdens no other machine. */
const STORAGE_BACKOFF_MAX_MS = 1_000;

/** Dependencies of a {@link StorageBreaker}. */
export interface StorageBreakerDependencies {
  readonly file: QueueFile;
  readonly ballast: Ballast;
  readonly checkpoints: Checkpoints;
  readonly counts: PublisherCounts;
}

/** The circuit breaker of the queue file. Every failure of the file is reported here, and only here. */
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

  /** The last failure, even if it has ended; undefined: there was none. */
  get lastProblem(): PublisherProblem | undefined {
    return this.#lastProblem;
  }

  /** How long the breaker stays open, in milliseconds. */
  openForMs(): number {
    return this.#breaker.openForMs();
  }

  /** After a failure, checks that the file can be written: reads do not show it. @throws {EventStorageError} it cannot */
  probe(): void {
    if (this.failures > 0) this.#dependencies.file.checkWritable();
  }

  /** Notes that the file was written. */
  succeeded(): void {
    this.#breaker.succeeded();
  }

  /** Notes a failure, and frees space on a full disk. Returns how long to wait, in milliseconds. */
  failed(error: unknown): number {
    const message = error instanceof Error ? error.message : String(error);
    // It is retried every second: a line each time would help to fill the disk.
    const isNews = this.failures === 0 || this.#lastProblem?.message !== message;
    this.#lastProblem = { atMs: Date.now(), kind: "storage", message };
    this.#dependencies.counts.storageFailures++;
    if (isDiskFull(error)) this.#freeSpace();
    const retryInMs = this.#breaker.failed();
    log.logStorageFailure(message, { retryInMs, isNews });
    return retryInMs;
  }

  /**
   * Settles, and retries until the file works: an accepted batch that is not settled would be sent again. When `stop`
   * aborts, it tries once more, and rejects if that fails.
   *
   * @param settle must be safe to retry after it threw
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

  /** Deletes the ballast and truncates the -wal, so that the queue can be drained on a full disk. */
  #freeSpace(): void {
    const { file, ballast, checkpoints } = this.#dependencies;
    if (ballast.release()) log.logBallastReleased();
    if (file.isOutbox) return; // the service makes its checkpoints
    try {
      checkpoints.truncateWal();
    } catch {
      // the disk is still full, which is already reported
    }
  }
}
