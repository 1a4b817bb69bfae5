/** Managing the dead letters of a queue while it is published. */
import { setImmediate } from "node:timers/promises";
import {
  type DeadLetter,
  type DeadLetterGroup,
  type DeadLetterSummary,
  DeadLetterTable,
  groupByReason,
  reasonOf,
} from "../storage/dead_letters.ts";
import type { EventTable } from "../storage/events.ts";
import * as log from "./log.ts";
import type { OpenQueue } from "./open_queue.ts";
import type { WakeableSleep } from "./waiting.ts";

/**
 * Some dead letters by their ids, or all that died at or before a time, in Unix milliseconds. With `likeId` only those
 * with the reason of one of them: its status, and its response except numbers and ids.
 */
export type DeadLetterSelection =
  | { readonly ids: readonly number[] }
  | { readonly deadUntilMs: number; readonly likeId?: number };

/** The result of {@link DeadLetters.retry}. */
export interface RetryResult {
  /** How many were put back into the queue. */
  readonly retried: number;
  /** Whether the queue is full now. Then some dead letters may not have been put back. */
  readonly isFull: boolean;
}

/** Lists dead letters, puts them back into the queue, or deletes them. */
export class DeadLetters {
  readonly #table: DeadLetterTable;
  readonly #events: EventTable;
  readonly #publisherSleep: WakeableSleep;

  /** @internal @param publisherSleep is woken when events were put back into the queue */
  constructor({ file, events }: OpenQueue, subscription: string, publisherSleep: WakeableSleep) {
    this.#table = new DeadLetterTable(file, { subscription });
    this.#events = events;
    this.#publisherSleep = publisherSleep;
  }

  /** At most `limit` dead letters with an id below `beforeId`, the newest first, without their bodies. */
  list(range: { beforeId?: number; limit: number }): DeadLetterSummary[] {
    return this.#table.listNewest(range);
  }

  /** The newest `limit` of them by reason, the largest group first: see {@link DeadLetterGroup}. */
  groups(limit: number): DeadLetterGroup[] {
    return groupByReason(this.#table.listNewest({ limit }));
  }

  /** The dead letter with this id; undefined: there is none. */
  get(id: number): DeadLetter | undefined {
    return this.#table.get(id);
  }

  /**
   * Puts dead letters back into the queue as new events with new ids, until the queue is full.
   *
   * @throws {EventStorageError} (rejects) the queue file fails. Dead letters that were put back before stay in the queue
   */
  async retry(selection: DeadLetterSelection): Promise<RetryResult> {
    const retried = await this.#inPages(selection, (ids) => {
      const done = this.#table.retry(ids, this.#events);
      return { done, isEnough: this.#events.isFull() };
    });
    if (retried > 0) {
      log.logRetried(retried);
      this.#publisherSleep.wake();
    }
    return { retried, isFull: this.#events.isFull() };
  }

  /** Deletes dead letters. Resolves with how many. @throws {EventStorageError} as {@link retry} does */
  async purge(selection: DeadLetterSelection): Promise<number> {
    const purged = await this.#inPages(selection, (ids) => ({
      done: this.#table.purge(ids),
      isEnough: false,
    }));
    if (purged > 0) log.logPurged(purged);
    return purged;
  }

  /** One short transaction for each page. Deliveries continue in between. */
  async #inPages(
    selection: DeadLetterSelection,
    work: (ids: readonly number[]) => { done: number; isEnough: boolean },
  ): Promise<number> {
    let total = 0;
    for (const ids of this.#idPages(selection)) {
      if (ids.length === 0) continue;
      const { done, isEnough } = work(ids);
      total += done;
      if (isEnough) break;
      await setImmediate();
    }
    return total;
  }

  *#idPages(selection: DeadLetterSelection): Generator<readonly number[]> {
    if ("ids" in selection) {
      yield selection.ids;
      return;
    }
    const { deadUntilMs, likeId } = selection;
    const like = likeId === undefined ? undefined : this.#table.get(likeId);
    if (likeId !== undefined && like === undefined) return; // retried or purged meanwhile
    const reason = like && reasonOf(like);
    for (const page of this.#table.pages(deadUntilMs))
      yield page.flatMap((letter) => (reason === undefined || reasonOf(letter) === reason ? letter.id : []));
  }
}
