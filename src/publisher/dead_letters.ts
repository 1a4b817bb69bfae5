/**
 * The dead letters of a queue that is being published, for those who look after it.
 *
 * @module
 */
import { setImmediate } from "node:timers/promises";
import { type DeadLetter, type DeadLetterSummary, DeadLetterTable } from "../storage/dead_letters.ts";
import type { EventTable } from "../storage/events.ts";
import type { QueueFile } from "../storage/queue_file.ts";
import * as log from "./log.ts";
import type { WakeableSleep } from "./waiting.ts";

/** Which dead letters are meant: some by their ids, or all that had died by a time, in Unix milliseconds. */
export type DeadLetterSelection = { readonly ids: readonly number[] } | { readonly deadUntilMs: number };

/** What became of dead letters that were to be retried. */
export interface RetryResult {
  /** How many are in the queue again. */
  readonly retried: number;
  /** Whether the queue is full now, so that others may have had no room. */
  readonly isFull: boolean;
}

/** Looks at dead letters, puts them back into the queue, or deletes them. */
export class DeadLetters {
  readonly #table: DeadLetterTable;
  readonly #events: EventTable;
  readonly #publisherSleep: WakeableSleep;

  /** @internal @param publisherSleep ends when events are in the queue again */
  constructor(file: QueueFile, events: EventTable, publisherSleep: WakeableSleep) {
    this.#table = new DeadLetterTable(file);
    this.#events = events;
    this.#publisherSleep = publisherSleep;
  }

  /** Those with an id below `beforeId`, at most `limit` of them, the newest event first and without their bodies. */
  list(range: { beforeId?: number; limit: number }): DeadLetterSummary[] {
    return this.#table.listNewest(range);
  }

  /** One of them; undefined: there is none with this id. */
  get(id: number): DeadLetter | undefined {
    return this.#table.get(id);
  }

  /**
   * Puts dead letters back into the queue, as new events with new ids, as far as the row cap allows.
   * @throws {EventStorageError} (rejects) the queue's file fails; what was done before stays done
   */
  async retry(choice: DeadLetterSelection): Promise<RetryResult> {
    const retried = await this.#inPages(choice, (ids) => {
      const done = this.#table.retry(ids, this.#events);
      return { done, isEnough: this.#events.isFull() };
    });
    if (retried > 0) {
      log.logRetried(retried);
      this.#publisherSleep.wake();
    }
    return { retried, isFull: this.#events.isFull() };
  }

  /** Deletes dead letters for good. Resolves with how many. @throws {EventStorageError} as {@link retry} does */
  async purge(choice: DeadLetterSelection): Promise<number> {
    const purged = await this.#inPages(choice, (ids) => ({ done: this.#table.purge(ids), isEnough: false }));
    if (purged > 0) log.logPurged(purged);
    return purged;
  }

  /** One short transaction a page, and deliveries go on in between. */
  async #inPages(
    choice: DeadLetterSelection,
    work: (ids: readonly number[]) => { done: number; isEnough: boolean },
  ): Promise<number> {
    let total = 0;
    for (const ids of this.#idPages(choice)) {
      const { done, isEnough } = work(ids);
      total += done;
      if (isEnough) break;
      await setImmediate();
    }
    return total;
  }

  *#idPages(choice: DeadLetterSelection): Generator<readonly number[]> {
    if ("ids" in choice) yield choice.ids;
    else for (const page of this.#table.pages(choice.deadUntilMs)) yield page.map(({ id }) => id);
  }
}
