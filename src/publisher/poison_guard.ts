/**
 * Telling a poison event from a collector that rejects everything.
 *
 * @module
 */

/**
 * How many events may become dead letters in a row before the publisher holds the queue: a poison event
 * comes alone or in a small group. `dead_letters.max_share` says how many may in the long run.
 */
export const DEAD_LETTER_BURST = 10;

/** How long ago dead letters count for a publisher that starts, in milliseconds: ten minutes. */
export const DEAD_LETTER_MEMORY_MS = 600_000;

/**
 * How many events may become dead letters: a few at once, and in the long run a share of all events. A poison
 * event is rare; when more are rejected, it is the schema, the version or the collector that is wrong, and
 * the events are kept in the queue.
 */
export class PoisonGuard {
  readonly #perDelivery: number;
  #left: number;

  /**
   * @param maxShare how many of all events may become dead letters in the long run, above 0 and up to 1, which is all
   * @param spentCount how many have become so a short while ago: a publisher that starts anew gets no new budget for it
   */
  constructor(maxShare: number, spentCount: number = 0) {
    this.#perDelivery = maxShare / (1 - maxShare);
    this.#left = maxShare === 1 ? Number.POSITIVE_INFINITY : Math.max(0, DEAD_LETTER_BURST - spentCount);
  }

  /** Whether no event may become a dead letter now. */
  get isSpent(): boolean {
    return this.#left < 1;
  }

  /** Takes in events that the collector accepted: what it accepts speaks for it. */
  delivered(count: number): void {
    if (this.#left < DEAD_LETTER_BURST)
      this.#left = Math.min(DEAD_LETTER_BURST, this.#left + count * this.#perDelivery);
  }

  /** Allows one event to become a dead letter. False: the budget is spent. */
  spend(): boolean {
    if (this.isSpent) return false;
    this.#left--;
    return true;
  }
}
