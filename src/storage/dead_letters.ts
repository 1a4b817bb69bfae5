/**
 * The dead letters: events that the collector rejected by themselves, kept for the operator.
 *
 * @module
 */
import type { EventTable } from "./events.ts";
import type { QueueFile } from "./queue_file.ts";

/** How many dead letters are kept until someone says otherwise, in rows: the oldest make room for new ones. */
export const MAX_DEAD_LETTERS = 10_000;

/** How large the dead letters may grow until someone says otherwise, in bytes of bodies and answers: 64 MiB. */
export const MAX_DEAD_LETTER_BYTES = 67_108_864;

/** A dead letter without its body. */
export interface DeadLetterSummary {
  /** The id it had as an event. */
  readonly id: number;
  /** When it was put, in Unix milliseconds. */
  readonly putAtMs: number;
  /** When it was found to be rejected by itself, in Unix milliseconds. */
  readonly deadAtMs: number;
  /** How often its last lease was claimed. */
  readonly attempts: number;
  /** The HTTP status of the rejection. */
  readonly status: number;
  /** The beginning of the collector's response. */
  readonly response: string;
  /** The size of its body, in bytes. */
  readonly sizeBytes: number;
}

/** A dead letter. */
export interface DeadLetter extends DeadLetterSummary {
  /** The event, byte for byte as it was put. */
  readonly body: Uint8Array;
}

/** Why an event is dead. */
export interface DeadLetterCause {
  readonly status: number;
  readonly response: string;
  /** How often it was sent, or was part of what was sent, under its last lease. */
  readonly attempts: number;
}

/** How many dead letters are kept; the oldest make room for new ones. */
export interface DeadLetterBounds {
  /** In rows. Default {@link MAX_DEAD_LETTERS}. */
  readonly maxCount?: number;
  /** In bytes of their bodies and answers. Default {@link MAX_DEAD_LETTER_BYTES}. */
  readonly maxBytes?: number;
}

/** How many dead letters there are. */
export interface DeadLetterTotals {
  readonly count: number;
  /** Their bodies and answers, in bytes. */
  readonly bytes: number;
  /** How many have made room for newer ones, ever. */
  readonly droppedCount: number;
}

/** How many dead letters are read, and may be retried or purged, at once: a transaction of a few milliseconds. */
const PAGE_ROWS = 100;

const SUMMARY =
  "id, put_at_ms AS putAtMs, dead_at_ms AS deadAtMs, attempts, status, response, length(body) AS sizeBytes";

/** Keeps events that were rejected, within bounds, and gives them back or away. */
export class DeadLetterTable {
  readonly #file: QueueFile;
  readonly #maxCount: number;
  readonly #maxBytes: number;
  readonly #sql;

  constructor(file: QueueFile, bounds: DeadLetterBounds = {}) {
    this.#file = file;
    this.#maxCount = bounds.maxCount ?? MAX_DEAD_LETTERS;
    this.#maxBytes = bounds.maxBytes ?? MAX_DEAD_LETTER_BYTES;
    this.#sql = prepareStatements(file);
  }

  /** How many there are; O(1). */
  totals(): DeadLetterTotals {
    return this.#file.run(() => this.#sql.totals.get()) as DeadLetterTotals;
  }

  /** How many were inserted since a time, in Unix milliseconds. */
  countSince(sinceMs: number): number {
    return this.#file.run(() => this.#sql.countSince.get(sinceMs)) as number;
  }

  /** Those with an id above `afterId`, at most `limit` of them, by id and without their bodies. */
  list({ afterId = 0, limit }: { afterId?: number; limit: number }): DeadLetterSummary[] {
    return this.#file.run(() => this.#sql.list.all(afterId, limit));
  }

  /** Those with an id below `beforeId`, at most `limit` of them, the newest event first and without their bodies. */
  listNewest({
    beforeId = Number.MAX_SAFE_INTEGER,
    limit,
  }: {
    beforeId?: number;
    limit: number;
  }): DeadLetterSummary[] {
    return this.#file.run(() => this.#sql.listNewest.all(beforeId, limit));
  }

  /**
   * Pages of those that died at a time or before, by id and without their bodies: a hundred thousand of them
   * fit in little memory, and what is read may be retried or purged before the next page.
   *
   * @param deadUntilMs in Unix milliseconds. Default: whenever they died
   */
  *pages(deadUntilMs: number = Number.POSITIVE_INFINITY): Generator<DeadLetterSummary[]> {
    for (let afterId = 0; ; ) {
      const page = this.list({ afterId, limit: PAGE_ROWS });
      if (page.length === 0) return;
      yield page.filter(({ deadAtMs }) => deadAtMs <= deadUntilMs);
      afterId = page.at(-1)!.id;
    }
  }

  /** One of them; undefined: there is none with this id. */
  get(id: number): DeadLetter | undefined {
    return this.#file.run(() => this.#sql.get.get(id));
  }

  /**
   * Copies events to the dead letters, in a transaction of the caller's, who deletes them. Returns how
   * many older dead letters were dropped for them: a collector that rejects must not fill the disk.
   */
  insert(firstId: number, lastId: number, { status, response, attempts }: DeadLetterCause): number {
    this.#sql.insert.run(Date.now(), attempts, status, response, firstId, lastId);
    let dropped = 0;
    while (this.#isOverfull() && this.#sql.dropOldest.run().changes > 0) dropped++;
    if (dropped > 0) this.#sql.addDropped.run(dropped);
    return dropped;
  }

  /**
   * Puts dead letters back into the queue, in one transaction: as new events with new ids, as far as
   * the row cap allows. Returns how many; ids that are not there are passed over. @throws {EventStorageError}
   */
  retry(ids: readonly number[], events: EventTable): number {
    return this.#file.transaction(() => {
      const { head, depth, maxEvents } = events.counters();
      const room = maxEvents - depth;
      let retried = 0;
      for (const id of ids) {
        if (retried >= room) break;
        if (this.#sql.putBack.run(head + retried + 1, id).changes === 0) continue;
        this.#sql.remove.run(id);
        retried++;
      }
      return retried;
    });
  }

  /** Deletes dead letters for good, in one transaction. Returns how many there were. @throws {EventStorageError} */
  purge(ids: readonly number[]): number {
    return this.#file.transaction(() =>
      ids.reduce((purged, id) => purged + this.#sql.remove.run(id).changes, 0),
    );
  }

  #isOverfull(): boolean {
    const { count, bytes } = this.#sql.totals.get() as DeadLetterTotals;
    return count > this.#maxCount || bytes > this.#maxBytes;
  }
}

function prepareStatements(file: QueueFile) {
  return {
    totals: file.prepare<[], DeadLetterTotals>(
      `SELECT dead_letter_count AS count, dead_letter_bytes AS bytes, dropped_dead_letter_count AS droppedCount
       FROM eventspool_queue WHERE one = 1`,
    ),
    countSince: file.prepareFirst<[number], number>(
      "SELECT count(*) FROM eventspool_dead_letter WHERE dead_at_ms >= ?",
    ),
    list: file.prepare<[number, number], DeadLetterSummary>(
      `SELECT ${SUMMARY} FROM eventspool_dead_letter WHERE id > ? ORDER BY id LIMIT ?`,
    ),
    listNewest: file.prepare<[number, number], DeadLetterSummary>(
      `SELECT ${SUMMARY} FROM eventspool_dead_letter WHERE id < ? ORDER BY id DESC LIMIT ?`,
    ),
    get: file.prepare<[number], DeadLetter>(
      `SELECT ${SUMMARY}, body FROM eventspool_dead_letter WHERE id = ?`,
    ),
    insert: file.prepare<[number, number, number, string, number, number]>(
      `INSERT INTO eventspool_dead_letter (id, put_at_ms, dead_at_ms, attempts, status, response, body)
       SELECT id, put_at_ms, ?, ?, ?, ?, body FROM eventspool_event WHERE id BETWEEN ? AND ?`,
    ),
    dropOldest: file.prepare<[]>(
      "DELETE FROM eventspool_dead_letter WHERE id = (SELECT id FROM eventspool_dead_letter ORDER BY dead_at_ms, id LIMIT 1)",
    ),
    addDropped: file.prepare<[number]>(
      "UPDATE eventspool_queue SET dropped_dead_letter_count = dropped_dead_letter_count + ? WHERE one = 1",
    ),
    putBack: file.prepare<[number, number]>(
      "INSERT INTO eventspool_event (id, put_at_ms, body) SELECT ?, put_at_ms, body FROM eventspool_dead_letter WHERE id = ?",
    ),
    remove: file.prepare<[number]>("DELETE FROM eventspool_dead_letter WHERE id = ?"),
  };
}
