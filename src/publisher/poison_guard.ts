/** Distinguishing a poison event from a collector that rejects everything. */

/**
 * How many events in a row may become dead letters before the publisher holds the queue: poison events come alone or in
 * small groups. `dead_letters.max_share` limits their share in the long run.
 */
export const DEAD_LETTER_BURST = 10;

/** A publisher that starts counts the dead letters of this time, in milliseconds: ten minutes. */
export const DEAD_LETTER_MEMORY_MS = 600_000;

/**
 * The budget of events that may become dead letters: a few at once, and a share of all events in the long run. Poison
 * events are rare. When more are rejected, the schema, the version or the destination is wrong, and the events stay in
 * the queue.
 */
export class PoisonGuard {
  readonly #perDelivery: number;
  #left: number;

  /**
   * @param maxShare the share of events that may become dead letters in the long run, above 0 and at most 1
   * @param spentCount how many became dead letters recently: a restart does not renew the budget
   */
  constructor(maxShare: number, spentCount: number = 0) {
    this.#perDelivery = maxShare / (1 - maxShare);
    this.#left = maxShare === 1 ? Number.POSITIVE_INFINITY : Math.max(0, DEAD_LETTER_BURST - spentCount);
  }

  /** Whether the budget is spent: no event may become a dead letter now. */
  get isSpent(): boolean {
    return this.#left < 1;
  }

  /** Adds to the budget: the collector accepted events. */
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
