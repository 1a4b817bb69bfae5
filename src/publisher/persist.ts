/**
 * Settling a lease, whatever the queue file does.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";

/** What {@link persist} works with. */
export interface PersistOptions {
  /** Told of each failure; returns how long to wait before the next try, in milliseconds. */
  readonly onFailure: (error: unknown) => number;
  /** When it aborts, there is one more try. */
  readonly stop: AbortSignal;
}

/**
 * Settles until the queue file lets it: what the collector has taken and we forget is sent to it a
 * second time. Rejects with the last failure when it is stopped.
 *
 * @param settle what was done when it threw must do no harm when it is done again
 */
export async function persist<T>(
  settle: () => T | Promise<T>,
  { onFailure, stop }: PersistOptions,
): Promise<T> {
  for (;;) {
    try {
      return await settle();
    } catch (error) {
      if (stop.aborted) throw error;
      await sleep(onFailure(error), undefined, { signal: stop }).catch(() => {}); // stopped: try once more
    }
  }
}
