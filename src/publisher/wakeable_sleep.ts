/**
 * A sleep that others can end.
 *
 * @module
 */

/** setTimeout takes at most this, about 25 days. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Sleeps until a time is over or someone calls {@link WakeableSleep.wake}; one sleeper at a time. */
export class WakeableSleep {
  #awake = false;
  #end: (() => void) | undefined;

  /** Ends the sleep; with nobody asleep, the next sleep ends at once, so that no call is missed. */
  readonly wake = (): void => {
    this.#awake = true;
    this.#end?.();
  };

  /** Sleeps for `durationMs` at most; Infinity: until woken. */
  async sleep(durationMs: number): Promise<void> {
    if (!this.#awake) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#end = resolve;
      const timer = setTimeout(resolve, Math.min(durationMs, MAX_TIMEOUT_MS));
      await promise;
      clearTimeout(timer);
      this.#end = undefined;
    }
    this.#awake = false;
  }
}
