/** The dead letters: events that the collector rejected by themselves, kept for the operator. */
import type { EventTable } from "./events.ts";
import type { QueueFile } from "./queue_file.ts";
import { DEFAULT_SUBSCRIPTION, SubscriptionTable } from "./subscriptions.ts";

/** The default limit of dead letters, in rows: beyond it the oldest are dropped. */
export const MAX_DEAD_LETTERS = 10_000;

/** The default limit of dead letters, in bytes of bodies and responses: 64 MiB. */
export const MAX_DEAD_LETTER_BYTES = 67_108_864;

/** A dead letter without its body. */
export interface DeadLetterSummary {
  /** The id of the event. */
  readonly id: number;
  /** When it was put, in Unix milliseconds. */
  readonly putAtMs: number;
  /** When it became a dead letter, in Unix milliseconds. */
  readonly deadAtMs: number;
  /** How often its last lease was claimed. */
  readonly attempts: number;
  /** The HTTP status of the rejection. */
  readonly status: number;
  /** The beginning of the response. */
  readonly response: string;
  /** The size of its body, in bytes. */
  readonly sizeBytes: number;
}

/** A dead letter. */
export interface DeadLetter extends DeadLetterSummary {
  /** The event, byte for byte as it was put. */
  readonly body: Uint8Array;
}

/** Why an event became a dead letter. */
export interface DeadLetterCause {
  readonly status: number;
  readonly response: string;
  /** How often it was sent, or was part of what was sent, under its last lease. */
  readonly attempts: number;
}

/** The subscription of the dead letters, and how many are kept; beyond that the oldest are dropped. */
export interface DeadLetterOptions {
  /** The subscription. Default: `default`. */
  readonly subscription?: string;
  /** In rows. Default {@link MAX_DEAD_LETTERS}. */
  readonly maxCount?: number;
  /** In bytes of their bodies and responses. Default {@link MAX_DEAD_LETTER_BYTES}. */
  readonly maxBytes?: number;
}

/** How many dead letters there are. */
export interface DeadLetterTotals {
  readonly count: number;
  /** Their bodies and responses, in bytes. */
  readonly bytes: number;
  /** How many were ever dropped for newer ones. */
  readonly droppedCount: number;
}

/** How many dead letters are read, and may be retried or purged, at once: a transaction of a few milliseconds. */
const PAGE_ROWS = 100;

const SUMMARY =
  "id, put_at_ms AS putAtMs, dead_at_ms AS deadAtMs, attempts, status, response, length(body) AS sizeBytes";

/** Keeps the events of a subscription that were rejected, within bounds; they can be retried or purged. */
export class DeadLetterTable {
  readonly #file: QueueFile;
  readonly #subscriptionId: number;
  readonly #maxCount: number;
  readonly #maxBytes: number;
  readonly #sql;

  /** @throws {EventStorageError} `NO_SUBSCRIPTION` */
  constructor(file: QueueFile, options: DeadLetterOptions = {}) {
    this.#file = file;
    this.#subscriptionId = new SubscriptionTable(file).idOf(options.subscription ?? DEFAULT_SUBSCRIPTION);
    this.#maxCount = options.maxCount ?? MAX_DEAD_LETTERS;
    this.#maxBytes = options.maxBytes ?? MAX_DEAD_LETTER_BYTES;
    this.#sql = prepareStatements(file);
  }

  /** How many there are; O(1). */
  totals(): DeadLetterTotals {
    return this.#file.run(() => this.#sql.totals.get(this.#subscriptionId)) as DeadLetterTotals;
  }

  /** How many were inserted since a time, in Unix milliseconds. */
  countSince(sinceMs: number): number {
    return this.#file.run(() => this.#sql.countSince.get(this.#subscriptionId, sinceMs)) as number;
  }

  /** Those with an id above `afterId`, at most `limit` of them, by id and without their bodies. */
  list({ afterId = 0, limit }: { afterId?: number; limit: number }): DeadLetterSummary[] {
    return this.#file.run(() => this.#sql.list.all(this.#subscriptionId, afterId, limit));
  }

  /** Those with an id below `beforeId`, at most `limit` of them, the newest event first and without their bodies. */
  listNewest({
    beforeId = Number.MAX_SAFE_INTEGER,
    limit,
  }: {
    beforeId?: number;
    limit: number;
  }): DeadLetterSummary[] {
    return this.#file.run(() => this.#sql.listNewest.all(this.#subscriptionId, beforeId, limit));
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
    return this.#file.run(() => this.#sql.get.get(this.#subscriptionId, id));
  }

  /**
   * Copies an event to the dead letters, in a transaction of the caller's, who settles it. Returns how
   * many older dead letters were dropped for it: a destination that rejects must not fill the disk.
   */
  insert(id: number, { status, response, attempts }: DeadLetterCause): number {
    const mine = this.#subscriptionId;
    this.#sql.remove.run(mine, id); // one that is replayed may be here already
    this.#sql.insert.run(mine, Date.now(), attempts, status, response, id);
    let dropped = 0;
    while (this.#isOverfull() && this.#sql.dropOldest.run(mine).changes > 0) dropped++;
    if (dropped > 0) this.#sql.addDropped.run(dropped, mine);
    return dropped;
  }

  /**
   * Puts dead letters back into the queue, in one transaction: as new events with new ids, as far as
   * the row cap allows. No other subscription gets them again. Returns how many; ids that are not there are ignored.
   *
   * @throws {EventStorageError}
   */
  retry(ids: readonly number[], events: EventTable): number {
    const mine = this.#subscriptionId;
    return this.#file.transaction(() => {
      const { newestId, depth, maxEvents } = events.counters();
      const room = maxEvents - depth;
      let retried = 0;
      for (const id of ids) {
        if (retried >= room) break;
        const newId = newestId + retried + 1;
        if (this.#sql.putBack.run(newId, mine, id).changes === 0) continue;
        this.#sql.keepFromOthers.run(newId, mine, mine);
        this.#sql.remove.run(mine, id);
        retried++;
      }
      return retried;
    });
  }

  /** Deletes dead letters for good, in one transaction. Returns how many there were. @throws {EventStorageError} */
  purge(ids: readonly number[]): number {
    return this.#file.transaction(() =>
      ids.reduce((purged, id) => purged + this.#sql.remove.run(this.#subscriptionId, id).changes, 0),
    );
  }

  #isOverfull(): boolean {
    const { count, bytes } = this.#sql.totals.get(this.#subscriptionId) as DeadLetterTotals;
    return count > this.#maxCount || bytes > this.#maxBytes;
  }
}

function prepareStatements(file: QueueFile) {
  return {
    totals: file.prepare<[number], DeadLetterTotals>(
      `SELECT dead_letter_count AS count, dead_letter_bytes AS bytes, dropped_dead_letter_count AS droppedCount
       FROM eventspool_subscription WHERE id = ?`,
    ),
    countSince: file.prepareFirst<[number, number], number>(
      "SELECT count(*) FROM eventspool_dead_letter WHERE subscription_id = ? AND dead_at_ms >= ?",
    ),
    list: file.prepare<[number, number, number], DeadLetterSummary>(
      `SELECT ${SUMMARY} FROM eventspool_dead_letter WHERE subscription_id = ? AND id > ? ORDER BY id LIMIT ?`,
    ),
    listNewest: file.prepare<[number, number, number], DeadLetterSummary>(
      `SELECT ${SUMMARY} FROM eventspool_dead_letter
       WHERE subscription_id = ? AND id < ? ORDER BY id DESC LIMIT ?`,
    ),
    get: file.prepare<[number, number], DeadLetter>(
      `SELECT ${SUMMARY}, body FROM eventspool_dead_letter WHERE subscription_id = ? AND id = ?`,
    ),
    insert: file.prepare<[number, number, number, number, string, number]>(
      `INSERT INTO eventspool_dead_letter
         (subscription_id, id, put_at_ms, dead_at_ms, attempts, status, response, body)
       SELECT ?, id, put_at_ms, ?, ?, ?, ?, body FROM eventspool_event WHERE id = ?`,
    ),
    // Not by time: after the clock was set back, that would be the new one.
    dropOldest: file.prepare<[number]>(
      `DELETE FROM eventspool_dead_letter
       WHERE rowid = (SELECT min(rowid) FROM eventspool_dead_letter WHERE subscription_id = ?)`,
    ),
    addDropped: file.prepare<[number, number]>(
      `UPDATE eventspool_subscription SET dropped_dead_letter_count = dropped_dead_letter_count + ?
       WHERE id = ?`,
    ),
    putBack: file.prepare<[number, number, number]>(
      `INSERT INTO eventspool_event (id, put_at_ms, body)
       SELECT ?, put_at_ms, body FROM eventspool_dead_letter WHERE subscription_id = ? AND id = ?`,
    ),
    keepFromOthers: file.prepare<[number, number, number]>(
      `INSERT INTO eventspool_retried (id, subscription_id)
       SELECT ?, ? WHERE EXISTS (SELECT 1 FROM eventspool_subscription WHERE id <> ?)`,
    ),
    remove: file.prepare<[number, number]>(
      "DELETE FROM eventspool_dead_letter WHERE subscription_id = ? AND id = ?",
    ),
  };
}

/** Dead letters with the same reason. */
export interface DeadLetterGroup {
  /** The HTTP status of the rejection. */
  readonly status: number;
  /** The response of all of them. Where they differ in numbers and ids, `#` is in their place. */
  readonly response: string;
  /** How many they are. */
  readonly count: number;
  /** When the first of them was rejected, in Unix milliseconds. */
  readonly firstDeadAtMs: number;
  /** The one that was rejected last. */
  readonly newest: DeadLetterSummary;
}

/** UUIDs, numbers, and hexadecimal numbers with a digit. */
const VARIABLE_PART = /\b(?:[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}|[\da-f]*\d[\da-f]*)\b/gi;

function patternOf(response: string): string {
  return response.replaceAll(VARIABLE_PART, "#");
}

/** The same text for dead letters with the same reason: the status, and the response without its numbers and ids. */
export function reasonOf({ status, response }: DeadLetterSummary): string {
  return `${status} ${patternOf(response)}`;
}

/** Groups dead letters by their reason: the largest group first, then the one with the newest dead letter. */
export function groupByReason(letters: Iterable<DeadLetterSummary>): DeadLetterGroup[] {
  const groups = new Map<string, DeadLetterGroup>();
  for (const letter of letters) {
    const reason = reasonOf(letter);
    const group = groups.get(reason);
    groups.set(reason, group === undefined ? groupOf(letter) : withLetter(group, letter));
  }
  return [...groups.values()].sort((a, b) => b.count - a.count || b.newest.deadAtMs - a.newest.deadAtMs);
}

function groupOf(letter: DeadLetterSummary): DeadLetterGroup {
  const { status, response, deadAtMs } = letter;
  return { status, response, count: 1, firstDeadAtMs: deadAtMs, newest: letter };
}

function withLetter(group: DeadLetterGroup, letter: DeadLetterSummary): DeadLetterGroup {
  return {
    ...group,
    response: group.response === letter.response ? group.response : patternOf(group.response),
    count: group.count + 1,
    firstDeadAtMs: Math.min(group.firstDeadAtMs, letter.deadAtMs),
    newest: isNewer(letter, group.newest) ? letter : group.newest,
  };
}

function isNewer(one: DeadLetterSummary, other: DeadLetterSummary): boolean {
  return (one.deadAtMs - other.deadAtMs || one.id - other.id) > 0;
}
