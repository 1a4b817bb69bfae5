/** How a publisher waits: for how long, and what wakes it. */
import { BACKOFF_MAX_MS, LEASE_MARGIN_MS } from "../wire/retry_after.ts";

/** The durations that no setting changes, in milliseconds. Only tests change them. */
export interface Timings {
  /** The longest backoff from a failing destination. */
  readonly backoffMaxMs: number;
  /** From the start to the first check of the ballast, and from one check to the next. */
  readonly ballastMs: number;
  /** How long a queue must be idle before its file is compacted. */
  readonly compactMs: number;
  /** How often the health is checked for `onHealthChange`. */
  readonly healthMs: number;
  /** How much longer a lease lasts than its request may take. */
  readonly leaseMarginMs: number;
  /** How often an idle publisher checks for events, in case the watch fails or a lease expires. */
  readonly pollMs: number;
}

/** The durations in production. */
export const TIMINGS: Timings = {
  backoffMaxMs: BACKOFF_MAX_MS,
  ballastMs: 5_000,
  compactMs: 10_000,
  healthMs: 1_000,
  leaseMarginMs: LEASE_MARGIN_MS,
  pollMs: 1_000,
};

/** The longest delay of setTimeout, about 25 days. */
export const MAX_TIMEOUT_MS: number = 2 ** 31 - 1;

/** A sleep that {@link WakeableSleep.wake} ends early. Only one caller may sleep at a time. */
export class WakeableSleep {
  #isWoken = false;
  #end: (() => void) | undefined;

  /** Ends the sleep. If nobody sleeps, the next sleep ends at once, so no wake-up is lost. */
  readonly wake = (): void => {
    this.#isWoken = true;
    this.#end?.();
  };

  /** Sleeps for at most `durationMs`; with Infinity, until it is woken. */
  async sleep(durationMs: number): Promise<void> {
    if (!this.#isWoken) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#end = resolve;
      const timer = setTimeout(resolve, Math.min(durationMs, MAX_TIMEOUT_MS));
      await promise;
      clearTimeout(timer);
      this.#end = undefined;
    }
    this.#isWoken = false;
  }
}
