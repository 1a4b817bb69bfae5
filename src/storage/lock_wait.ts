/**
 * Waiting for SQLite's locks.
 *
 * SQLite's own handler sleeps 1, 2, 5 ... 100 ms, and single puts of 630 ms to 2.1 s were seen under
 * four producers, though the lock is held for tens of microseconds. Ours first spins, then sleeps
 * fractions of a millisecond: worst 60 ms under the same load.
 */

/**
 * How long a put waits for SQLite's write lock before it gives up, in milliseconds.
 * Waits are microseconds in practice (four saturated producers and a publisher: worst 60 ms);
 * the bound is for a process that was stopped while it held the lock.
 */
export const DEFAULT_BUSY_TIMEOUT_MS = 1_000;
const SPIN_MS = 0.03;
const FIRST_SLEEP_MS = 0.02;
const MAX_SLEEP_MS = 0.2;
const SLEEP_GROWTH = 1.5;

/** How long an attempt waits while another process keeps the lock, in milliseconds. */
const PROBE_MS = 10;

/** The time between two such waits, in milliseconds. In between, an attempt is made once, and does not wait. */
const PROBE_INTERVAL_MS = 100;

/** What the time is, and how to wait synchronously: tests have their own. */
export interface Clock {
  /** A monotonic time, in milliseconds. */
  nowMs(): number;
  /** Returns after `ms` milliseconds. */
  sleep(ms: number): void;
}

/** It is never notified: waiting on it is the only synchronous sleep of all three runtimes. */
const cell = new Int32Array(new SharedArrayBuffer(4));

const CLOCK: Clock = {
  nowMs: () => performance.now(),
  sleep: (ms) => void Atomics.wait(cell, 0, 0, ms),
};

/** Whether another connection was in the way, so that the same statement may succeed a moment later. */
export function isBusy(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && (code.startsWith("SQLITE_BUSY") || code === "SQLITE_PROTOCOL");
}

/**
 * Runs `attempt` until it does not find the database busy, or `timeoutMs` has passed; then the last
 * busy error is thrown. `attempt` must be one statement or one whole `BEGIN IMMEDIATE` transaction.
 */
export function retryWhileBusy<T>(attempt: () => T, timeoutMs: number): T {
  return new LockWait(timeoutMs).run(attempt);
}

/**
 * Waits for one lock, and remembers when it is not released: the first attempt waits for the whole timeout, and those
 * after it for 10 ms at most, until one succeeds. Without that, 5 puts stopped a service's event loop for 5 s while
 * a stopped process held the lock.
 */
export class LockWait {
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  /** When the first of the failed attempts began, since the last one that succeeded. */
  #busySinceMs: number | undefined;
  /** Whether an attempt has waited for the whole timeout since the last one that succeeded. */
  #isHeld = false;
  #nextProbeAtMs = 0;

  constructor(timeoutMs: number, clock: Clock = CLOCK) {
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
  }

  /** For how long every attempt has found the lock held, in milliseconds; 0: the last one succeeded. */
  get busyForMs(): number {
    return this.#busySinceMs === undefined ? 0 : this.#clock.nowMs() - this.#busySinceMs;
  }

  /**
   * Runs `attempt` until it succeeds, fails for another reason than busy, or the time has passed.
   *
   * @param attempt one statement, or one whole `BEGIN IMMEDIATE` transaction
   * @param timeoutMs less than the lock's own timeout, for what must not wait; 0: tries once
   * @throws what `attempt` throws; the last busy error when the time has passed
   */
  run<T>(attempt: () => T, timeoutMs: number = this.#timeoutMs): T {
    try {
      const result = attempt();
      this.#busySinceMs = undefined;
      return result;
    } catch (error) {
      if (!isBusy(error)) throw error;
      return this.#wait(attempt, timeoutMs, error);
    }
  }

  #wait<T>(attempt: () => T, timeoutMs: number, busy: unknown): T {
    const startedAtMs = this.#clock.nowMs();
    if (this.#busySinceMs === undefined) {
      this.#busySinceMs = startedAtMs;
      this.#isHeld = false;
    }
    const patienceMs = this.#isHeld ? this.#probeMs(startedAtMs, timeoutMs) : timeoutMs;
    if (patienceMs <= 0) throw busy;
    try {
      const result = this.#retry(attempt, startedAtMs, patienceMs);
      this.#busySinceMs = undefined;
      return result;
    } catch (error) {
      this.#isHeld ||= isBusy(error) && patienceMs >= this.#timeoutMs;
      this.#nextProbeAtMs = this.#clock.nowMs() + PROBE_INTERVAL_MS;
      throw error;
    }
  }

  #probeMs(nowMs: number, timeoutMs: number): number {
    return nowMs < this.#nextProbeAtMs ? 0 : Math.min(PROBE_MS, timeoutMs);
  }

  #retry<T>(attempt: () => T, startedAtMs: number, timeoutMs: number): T {
    let sleepMs = FIRST_SLEEP_MS;
    for (;;) {
      const waitedMs = this.#clock.nowMs() - startedAtMs;
      if (waitedMs > SPIN_MS) {
        this.#clock.sleep(sleepMs * (0.5 + Math.random()));
        sleepMs = Math.min(sleepMs * SLEEP_GROWTH, MAX_SLEEP_MS);
      }
      try {
        return attempt();
      } catch (error) {
        if (!isBusy(error) || waitedMs > timeoutMs) throw error;
      }
    }
  }
}
