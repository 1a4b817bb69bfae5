/** Circuit breakers: of the destination, and of the queue file for a full disk, a lost lock or a missing directory. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Ballast } from "../storage/ballast.ts";
import type { QueueFile } from "../storage/queue_file.ts";
import { isDiskFull } from "../storage/storage_error.ts";
import type { Checkpoints } from "../storage/wal.ts";
import { BACKOFF_MAX_MS } from "../wire/retry_after.ts";
import type { PublisherCounts } from "./counts.ts";
import type { PublisherProblem } from "./health.ts";
import * as log from "./log.ts";

/** The ceiling of the first backoff, in milliseconds. It doubles with each failure. */
export const BACKOFF_BASE_MS = 500;

/**
 * A circuit breaker. A failure is the destination's and not one batch's, so it stops all batches: the breaker opens for
 * a backoff that grows with each failure in a row. Then one request probes, and its success closes the breaker.
 */
export class CircuitBreaker {
  readonly #maxBackoffMs: number;
  #failures = 0;
  #failingSinceMs = 0;
  #closesAtMs = 0;

  /** @param maxBackoffMs the longest backoff, in milliseconds */
  constructor(maxBackoffMs: number = BACKOFF_MAX_MS) {
    this.#maxBackoffMs = maxBackoffMs;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** How long it stays open, in milliseconds. While it is open, nothing may be sent; 0: it is closed. @param nowMs a monotonic time */
  openForMs(nowMs: number = performance.now()): number {
    return Math.max(0, this.#closesAtMs - nowMs);
  }

  /** How long ago the current run of failures began, in milliseconds. @param nowMs a monotonic time */
  failingForMs(nowMs: number = performance.now()): number {
    return this.#failures === 0 ? 0 : nowMs - this.#failingSinceMs;
  }

  /**
   * Notes a success. While the breaker is open, it is that of a request that was in flight beside the failure, and does
   * not close the breaker: otherwise a Retry-After would only last until the next response.
   *
   * @param nowMs a monotonic time
   */
  succeeded(nowMs: number = performance.now()): void {
    if (this.openForMs(nowMs) === 0) this.#failures = 0;
  }

  /**
   * Notes a failure. Failures of requests that were in flight at the same time count once.
   *
   * @param retryAfterMs how long the collector asked us to wait. Jitter is added, so that a fleet does not return at once
   * @param nowMs a monotonic time
   * @returns how long the breaker stays open, in milliseconds
   */
  failed(retryAfterMs: number = 0, nowMs: number = performance.now()): number {
    if (this.#failures === 0) this.#failingSinceMs = nowMs;
    if (this.openForMs(nowMs) === 0) this.#failures++;
    this.#closesAtMs = Math.max(
      this.#closesAtMs,
      nowMs + retryAfterMs + backoffMs(this.#failures, { maxMs: this.#maxBackoffMs }),
    );
    return this.openForMs(nowMs);
  }
}

/**
 * A backoff with full jitter: a random time from 0 to a ceiling that doubles with each failure in a row, up to a maximum.
 * Source: AWS Architecture Blog, "Exponential Backoff and Jitter".
 *
 * @param failures failures in a row, from 1
 * @param options `maxMs`: the highest ceiling, in milliseconds, a minute by default; `random`: from 0 to below 1, for tests
 * @returns milliseconds
 */
export function backoffMs(failures: number, options: { maxMs?: number; random?: number } = {}): number {
  const { maxMs = BACKOFF_MAX_MS, random = Math.random() } = options;
  const ceilingMs = Math.min(maxMs, BACKOFF_BASE_MS * 2 ** (failures - 1));
  return random * ceilingMs;
}

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
