/**
 * The event table: where put puts, and what is waiting.
 *
 * @module
 */
import { ageSeconds } from "../format.ts";
import { DiskSpace } from "./disk_space.ts";
import type { QueueFile } from "./queue_file.ts";

/**
 * How many events a queue holds, in rows, until someone says otherwise.
 * Source: baseplate.py `baseplate/lib/events.py`, `MAX_QUEUE_SIZE`.
 */
export const DEFAULT_MAX_EVENTS = 10_000;

/** The largest row cap one can ask for, in rows: ids and counts stay exact as JavaScript numbers. */
export const EVENTS_CEILING = 1_000_000_000_000;

/** What a queue file holds, at one moment. */
export interface QueueState {
  /** The highest id ever given: how many events were ever put, counting one that was retried again. */
  readonly head: number;
  /** Events waiting and leased. */
  readonly depth: number;
  /** The row cap. */
  readonly maxEvents: number;
  /** Events in leases that have not expired: on their way to the collector. */
  readonly leased: number;
  /** Events the collector rejected by themselves. */
  readonly deadLetters: number;
  /** Their bodies and answers, in bytes. */
  readonly deadLetterBytes: number;
  /** Dead letters that made room for newer ones, ever. */
  readonly droppedDeadLetters: number;
  /** Events that puts rejected, ever, by the reason. */
  readonly rejectedPuts: RejectedPuts;
  /** When it was last found out that the file had been rolled back in place, in Unix milliseconds; undefined: never. */
  readonly rolledBackAtMs: number | undefined;
  /** When the oldest event was put, in Unix milliseconds; undefined when there is none. */
  readonly oldestPutAtMs: number | undefined;
}

/** A queue this full, as a share of its row cap, will soon reject puts. */
export const NEARLY_FULL = 0.8;

/** A queue's state for programs: what `/depth` and `queue depth --json` print. */
export function depthJson(queue: string, state: QueueState): object {
  return {
    queue,
    depth: state.depth,
    max_events: state.maxEvents,
    leased: state.leased,
    dead_letters: state.deadLetters,
    dead_letter_bytes: state.deadLetterBytes,
    dropped_dead_letters: state.droppedDeadLetters,
    rejected_puts: state.rejectedPuts,
    oldest_event_age_seconds: ageSeconds(state.oldestPutAtMs),
  };
}

/** An event as it is stored. */
export interface EventRow {
  readonly id: number;
  /** When it was put, in Unix milliseconds. */
  readonly putAtMs: number;
  /** The serialized event. */
  readonly body: Uint8Array;
}

/** Why a put rejected an event: the queue was full, the event too large or not to be written, the file failed. */
export type RejectionReason = "full" | "too_large" | "invalid" | "storage";

/** Counts of rejected events. */
export type RejectedPuts = Readonly<Record<RejectionReason, number>>;

const NONE_REFUSED: RejectedPuts = { full: 0, too_large: 0, invalid: 0, storage: 0 };

/** The queue's row beside the newest event, if there is one: two seeks, however many events there are. */
const NEWEST =
  "FROM eventspool_queue LEFT JOIN eventspool_event WHERE one = 1 ORDER BY eventspool_event.id DESC LIMIT 1";

/** The highest id ever given. */
const HEAD = "max(coalesce(eventspool_event.id, 0), claimed_id)";

/**
 * Checks the cap and stores the event in one autocommit statement: exact however many processes put,
 * and 1.02 x the cost of a bare insert (max(id) in a subselect, twice: 1.06 x; a counting trigger 1.35 x, an
 * explicit transaction 1.6 x).
 * A full queue makes id 0, which the table's CHECK rejects and OR IGNORE turns into "no row changed";
 * OR IGNORE would also swallow a NULL body, so callers pass bytes, always.
 */
export const PUT: string = `
  INSERT OR IGNORE INTO eventspool_event (id, put_at_ms, body)
  VALUES ((SELECT iif(${HEAD} - removed_count < max_events, ${HEAD} + 1, 0) ${NEWEST}), ?, ?)`;

/** How many rows a statement inserts where there are many: 1.4 x faster than one by one, and 64 no faster. */
const ROWS = 16;

/** As {@link PUT}, for an event that a span puts: without one, a put has nothing to do with traces. */
export const PUT_TRACED: string = PUT.replace("body)", "body, trace)").replace(/\?\)$/, "?, ?)");

/** As {@link INSERT}, for an event that a span puts. */
export const INSERT_TRACED = "INSERT INTO eventspool_event (id, put_at_ms, body, trace) VALUES (?, ?, ?, ?)";

/** Stores one event under the id it is given. */
export const INSERT = "INSERT INTO eventspool_event (id, put_at_ms, body) VALUES (?, ?, ?)";
const INSERT_ROWS = INSERT + ", (?, ?, ?)".repeat(ROWS - 1);

/** Tells of a body which span puts it, as the column `trace` has it; undefined: none. */
export type TraceOf = (body: Uint8Array) => string | undefined;

/** How long counting waits for the lock, in milliseconds: a service must not stop for it. */
const COUNTING_BUSY_TIMEOUT_MS = 10;

/** Which version of a batch the events are for: what serializers that say so write. */
export const BATCH_VERSION: string = "SELECT batch_version AS batchVersion FROM eventspool_queue";

export const SET_BATCH_VERSION: string = "UPDATE eventspool_queue SET batch_version = ?";

/** A version of a batch: `2` of Thrift structs, `2j` of JSON. */
export type BatchVersion = "2" | "2j";

/** {@link Counters}: two seeks. */
export const COUNTERS: string = `
  SELECT ${HEAD} AS head, ${HEAD} - removed_count AS depth, max_events AS maxEvents ${NEWEST}`;

const STATE = `
  SELECT ${HEAD} AS head, ${HEAD} - removed_count AS depth, max_events AS maxEvents,
    (SELECT coalesce(sum(last_id - first_id + 1), 0) FROM eventspool_lease WHERE expires_at_ms > ?) AS leased,
    dead_letter_count AS deadLetters, dead_letter_bytes AS deadLetterBytes,
    dropped_dead_letter_count AS droppedDeadLetters,
    (SELECT json_group_object(reason, count) FROM eventspool_rejected_put) AS rejectedPuts,
    (SELECT put_at_ms FROM eventspool_event ORDER BY id LIMIT 1) AS oldestPutAtMs,
    (SELECT max(began_at_ms) FROM eventspool_epoch WHERE reason = 'rolled_back') AS rolledBackAtMs
  ${NEWEST}`;

const READ =
  "SELECT id, put_at_ms AS putAtMs, body FROM eventspool_event WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?";

/** Adds to the count of events that puts rejected for a reason. */
export const ADD_REFUSED = `
  INSERT INTO eventspool_rejected_put (reason, count) VALUES (?, ?)
  ON CONFLICT (reason) DO UPDATE SET count = count + excluded.count`;

/** Changes the row cap. */
export const SET_MAX_EVENTS = "UPDATE eventspool_queue SET max_events = ? WHERE one = 1";

/** What the row cap is decided by. */
export interface Counters {
  /** The highest id ever given. */
  readonly head: number;
  /** Events waiting and leased. */
  readonly depth: number;
  /** The row cap. */
  readonly maxEvents: number;
}

type StateRow = Omit<QueueState, "rejectedPuts" | "oldestPutAtMs" | "rolledBackAtMs"> & {
  readonly rejectedPuts: string;
  readonly oldestPutAtMs: number | null;
  readonly rolledBackAtMs: number | null;
};

/** Puts events into a queue file and tells how many there are. */
export class EventTable {
  readonly #file: QueueFile;
  readonly #room: DiskSpace;
  readonly #put;
  readonly #putTraced;
  readonly #insert;
  readonly #insertTraced;
  readonly #insertRows;
  readonly #counters;
  readonly #state;
  readonly #setMaxEvents;
  readonly #addRejected;
  readonly #read;
  #wasFull = false;

  constructor(file: QueueFile) {
    this.#file = file;
    this.#room = new DiskSpace(file);
    this.#put = file.prepare<[number, Uint8Array]>(PUT);
    this.#putTraced = file.prepare<[number, Uint8Array, string]>(PUT_TRACED);
    this.#insert = file.prepare<[number, number, Uint8Array]>(INSERT);
    this.#insertTraced = file.prepare<[number, number, Uint8Array, string | null]>(INSERT_TRACED);
    this.#insertRows = file.prepare<(number | Uint8Array)[]>(INSERT_ROWS);
    this.#counters = file.prepare<[], Counters>(COUNTERS);
    this.#state = file.prepare<[number], StateRow>(STATE);
    this.#setMaxEvents = file.prepare<[number]>(SET_MAX_EVENTS);
    this.#read = file.prepare<[number, number, number], EventRow>(READ);
    this.#addRejected = file.prepare<[RejectionReason, number]>(ADD_REFUSED);
  }

  /** Which version of a batch the events are for; undefined: no serializer has said. @throws {EventStorageError} */
  batchVersion(): BatchVersion | undefined {
    const read = this.#file.prepare<[], { batchVersion: BatchVersion | null }>(BATCH_VERSION);
    return read.get()?.batchVersion ?? undefined;
  }

  /** @throws {EventStorageError} */
  setBatchVersion(version: BatchVersion): void {
    this.#file.prepare<[BatchVersion]>(SET_BATCH_VERSION).run(version);
  }

  /**
   * Stores one event and commits. False: the queue is full.
   *
   * @param trace the span that puts it @throws {EventStorageError}
   */
  put(body: Uint8Array, trace?: string): boolean {
    // A full queue stays full for a while: looking costs 2 us and no lock, trying to write five times that.
    if (this.#wasFull && this.isFull()) return false;
    this.#checkFile(1, body.length);
    const run =
      trace === undefined
        ? () => this.#put.run(Date.now(), body)
        : () => this.#putTraced.run(Date.now(), body, trace);
    const stored = this.#file.write(run).changes === 1;
    this.#wasFull = !stored;
    return stored;
  }

  /**
   * Stores all events, in order, in one transaction, or none. False: they do not all fit.
   *
   * @param traceOf tells the span that puts one @throws {EventStorageError}
   */
  putMany(bodies: readonly Uint8Array[], traceOf?: TraceOf): boolean {
    this.#checkFile(bodies.length, sizeOf(bodies));
    return this.#file.transaction(() => {
      const { head, depth, maxEvents } = this.counters();
      if (depth + bodies.length > maxEvents) return false;
      this.#insertAfter(head, bodies, traceOf);
      return true;
    });
  }

  /**
   * Stores events in one transaction, in order, as far as they fit, and does not wait for the disk. Returns how
   * many did.
   *
   * @param traceOf tells the span that puts one
   * @param busyTimeoutMs how long to wait for the lock, if less than the file's own timeout; 0: not at all
   * @throws {EventStorageError}
   */
  putWhatFits(bodies: readonly Uint8Array[], traceOf?: TraceOf, busyTimeoutMs?: number): number {
    this.#checkFile(bodies.length, sizeOf(bodies));
    return this.#file.transactionToSync(() => {
      const { head, depth, maxEvents } = this.counters();
      const room = Math.max(0, maxEvents - depth);
      const fitting = bodies.slice(0, room);
      this.#insertAfter(head, fitting, traceOf);
      return fitting.length;
    }, busyTimeoutMs);
  }

  /** Events waiting and leased; O(1). */
  depth(): number {
    return this.counters().depth;
  }

  /** How many more events fit now; negative, if there are more than a lower cap allows; O(1). */
  room(): number {
    const { depth, maxEvents } = this.counters();
    return maxEvents - depth;
  }

  /** Whether a put would be rejected now; O(1). */
  isFull(): boolean {
    return this.room() <= 0;
  }

  /** The row cap. */
  get maxEvents(): number {
    return this.counters().maxEvents;
  }

  /** Changes the row cap for everyone who uses the file. Events above a lower cap stay. @throws {EventStorageError} */
  setMaxEvents(maxEvents: number): void {
    if (this.maxEvents === maxEvents) return; // most often, and it takes no lock
    this.#file.write(() => this.#setMaxEvents.run(maxEvents));
  }

  /** Everything there is to tell about the queue. */
  state(): QueueState {
    const row = this.#file.run(() => this.#state.get(Date.now())) as StateRow;
    return {
      ...row,
      oldestPutAtMs: row.oldestPutAtMs ?? undefined,
      rolledBackAtMs: row.rolledBackAtMs ?? undefined,
      rejectedPuts: { ...NONE_REFUSED, ...(JSON.parse(row.rejectedPuts) as Partial<RejectedPuts>) },
    };
  }

  /** Events by their ids, leased or not, at most `limit` of them. */
  read({
    fromId,
    toId = Number.MAX_SAFE_INTEGER,
    limit,
  }: {
    fromId: number;
    toId?: number;
    limit: number;
  }): EventRow[] {
    return this.#file.run(() => this.#read.all(fromId, toId, limit));
  }

  /** What the row cap is decided by; O(1). */
  counters(): Counters {
    return this.#file.run(() => this.#counters.get()) as Counters;
  }

  /** Adds events that puts rejected to the counts in the file, unless its lock is held for long. @throws {EventStorageError} */
  addRejected(counts: ReadonlyMap<RejectionReason, number>): void {
    this.#file.transaction(() => {
      for (const [reason, count] of counts) this.#addRejected.run(reason, count);
    }, COUNTING_BUSY_TIMEOUT_MS);
  }

  /** Whether what is put now can be found and delivered later. @throws {EventStorageError} */
  #checkFile(count: number, bytes: number): void {
    if (this.#file.checkPlace()) this.#room.expire();
    this.#room.check(count, bytes);
  }

  #insertAfter(head: number, bodies: readonly Uint8Array[], traceOf?: TraceOf): void {
    const nowMs = Date.now();
    let id = head;
    if (traceOf !== undefined) {
      for (const body of bodies) this.#insertTraced.run(++id, nowMs, body, traceOf(body) ?? null);
      return;
    }
    let next = 0;
    for (; next + ROWS <= bodies.length; next += ROWS) {
      const values: (number | Uint8Array)[] = [];
      for (let row = next; row < next + ROWS; row++) values.push(++id, nowMs, bodies[row] as Uint8Array);
      this.#insertRows.run(...values);
    }
    for (; next < bodies.length; next++) this.#insert.run(++id, nowMs, bodies[next] as Uint8Array);
  }
}

function sizeOf(bodies: readonly Uint8Array[]): number {
  return bodies.reduce((bytes, body) => bytes + body.length, 0);
}
