/** The event table: puts, and the events that wait. */
import { ageSeconds } from "../format.ts";
import { DiskSpace } from "./disk_space.ts";
import type { QueueFile } from "./queue_file.ts";
import {
  DEFAULT_SUBSCRIPTION,
  OLDEST_PUT_AT,
  type SubscriptionState,
  SubscriptionTable,
  UNSETTLED_ID,
} from "./subscriptions.ts";

/**
 * The default row cap of a queue.
 * Source: baseplate.py `baseplate/lib/events.py`, `MAX_QUEUE_SIZE`.
 */
export const DEFAULT_MAX_EVENTS = 10_000;

/** The largest row cap: ids and counts stay exact as JavaScript numbers. */
export const EVENTS_CEILING = 1_000_000_000_000;

/** The state of a queue file. Unless it says otherwise, a number is the sum of all subscriptions. */
export interface QueueState {
  /** The highest id ever assigned: the number of puts, including retries of dead letters. */
  readonly newestId: number;
  /** Waiting and leased events, of the required subscription that lags most. */
  readonly depth: number;
  /** The row cap. */
  readonly maxEvents: number;
  /** Events in leases that have not expired: they are being sent. */
  readonly leased: number;
  /** Dead letters: events that destinations rejected. */
  readonly deadLetters: number;
  /** Their bodies and responses, in bytes. */
  readonly deadLetterBytes: number;
  /** How many dead letters were ever dropped for newer ones. */
  readonly droppedDeadLetters: number;
  /** How many events puts ever rejected, by reason. */
  readonly rejectedPuts: RejectedPuts;
  /** When a rollback of the file was last detected, in Unix milliseconds; undefined: never. */
  readonly rolledBackAtMs: number | undefined;
  /** When the oldest event was put that a required subscription has not settled, in Unix milliseconds; undefined when there is none. */
  readonly oldestPutAtMs: number | undefined;
  /** How long settled events stay, and how many bytes of them. */
  readonly retention: Retention;
  /** The bodies of the events that are kept under a retention, in bytes; 0 without one. */
  readonly retainedBytes: number;
  /** Each subscription, the oldest first. */
  readonly subscriptions: readonly SubscriptionState[];
}

/** How long settled events stay in the file. Without a limit they are removed. */
export interface Retention {
  /** How long after they were put, in milliseconds. */
  readonly maxAgeMs?: number | undefined;
  /** How many bytes of bodies. */
  readonly maxBytes?: number | undefined;
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
    retained_bytes: state.retainedBytes,
    subscriptions: state.subscriptions.map(subscriptionJson),
  };
}

/** A subscription's state for programs. */
export function subscriptionJson(state: SubscriptionState): object {
  return {
    name: state.name,
    required: state.isRequired,
    lag_limit_events: state.maxLagEvents ?? null,
    lag_limit_seconds: state.maxLagMs === undefined ? null : state.maxLagMs / 1_000,
    depth: state.depth,
    leased: state.leased,
    oldest_event_age_seconds: ageSeconds(state.oldestPutAtMs),
    skipped: state.skipped,
    replay_left: state.replayLeft,
    dead_letters: state.deadLetters,
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

/** Which events of a subscription are read. */
interface EventPage {
  readonly subscription?: string | undefined;
  /** How many at most. */
  readonly limit: number;
}

/** Why a put rejected an event: the queue was full, the event was too large or not serializable, or the file failed. */
export type RejectionReason = "full" | "too_large" | "invalid" | "storage";

/** Counts of rejected events. */
export type RejectedPuts = Readonly<Record<RejectionReason, number>>;

const NONE_REJECTED: RejectedPuts = { full: 0, too_large: 0, invalid: 0, storage: 0 };

/** The queue's row beside the newest event, if there is one: two seeks, however many events there are. */
const NEWEST =
  "FROM eventspool_queue LEFT JOIN eventspool_event WHERE one = 1 ORDER BY eventspool_event.id DESC LIMIT 1";

/** The highest id ever assigned. */
const NEWEST_ID = "max(coalesce(eventspool_event.id, 0), claimed_id)";

/**
 * Checks the cap and stores the event in one autocommit statement: exact however many processes put,
 * and 1.02 x the cost of a bare insert (max(id) in a subselect, twice: 1.06 x; a counting trigger 1.35 x, an
 * explicit transaction 1.6 x).
 * A full queue makes id 0, which the table's CHECK rejects and OR IGNORE turns into "no row changed";
 * OR IGNORE would also swallow a NULL body, so callers pass bytes, always.
 */
export const PUT: string = `
  INSERT OR IGNORE INTO eventspool_event (id, put_at_ms, body)
  VALUES ((SELECT iif(${NEWEST_ID} - settled_count < max_events, ${NEWEST_ID} + 1, 0) ${NEWEST}), ?, ?)`;

/** How many rows a statement inserts where there are many: 1.4 x faster than one by one, and 64 no faster. */
const ROWS = 16;

/** As {@link PUT}, for an event that a span puts: without one, a put has nothing to do with traces. */
export const PUT_TRACED: string = PUT.replace("body)", "body, trace)").replace(/\?\)$/, "?, ?)");

/** As {@link INSERT}, for an event that a span puts. */
export const INSERT_TRACED = "INSERT INTO eventspool_event (id, put_at_ms, body, trace) VALUES (?, ?, ?, ?)";

/** Stores one event under the id it is given. */
export const INSERT = "INSERT INTO eventspool_event (id, put_at_ms, body) VALUES (?, ?, ?)";
const INSERT_ROWS = INSERT + ", (?, ?, ?)".repeat(ROWS - 1);

/** Which span puts a body, as the column `trace` has it; undefined: none. */
export type TraceOf = (body: Uint8Array) => string | undefined;

/** How long counting waits for the lock, in milliseconds: a service must not stop for it. */
const COUNTING_BUSY_TIMEOUT_MS = 10;

/** The version of a batch that the events are for, if their serializer has one. */
export const BATCH_VERSION: string = "SELECT batch_version AS batchVersion FROM eventspool_queue";

export const SET_BATCH_VERSION: string = "UPDATE eventspool_queue SET batch_version = ?";

/** A version of a batch: `2` of Thrift structs, `2j` of JSON. */
export type BatchVersion = "2" | "2j";

/** {@link Counters}: two seeks. */
export const COUNTERS: string = `
  SELECT ${NEWEST_ID} AS newestId, ${NEWEST_ID} - settled_count AS depth, max_events AS maxEvents ${NEWEST}`;

const STATE = `
  SELECT ${NEWEST_ID} AS newestId, ${NEWEST_ID} - settled_count AS depth, max_events AS maxEvents,
    retention_ms AS maxAgeMs, retention_bytes AS maxBytes, retained_bytes AS retainedBytes,
    (SELECT json_group_object(reason, count) FROM eventspool_rejected_put) AS rejectedPuts,
    ${OLDEST_PUT_AT} AS oldestPutAtMs,
    (SELECT max(began_at_ms) FROM eventspool_epoch WHERE reason = 'rolled_back') AS rolledBackAtMs
  ${NEWEST}`;

const READ =
  "SELECT id, put_at_ms AS putAtMs, body FROM eventspool_event WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?";

/** Whether a subscription has an event in a lease. */
const IS_LEASED = `
  EXISTS (SELECT 1 FROM eventspool_lease WHERE subscription_id = ? AND is_replay = 0
    AND eventspool_event.id BETWEEN first_id AND last_id)`;

const CLAIMED_ID = "(SELECT claimed_id FROM eventspool_subscription WHERE id = ?)";

const READ_WAITING = `
  SELECT id, put_at_ms AS putAtMs, body FROM eventspool_event
  WHERE id >= max(?, (SELECT ${UNSETTLED_ID} FROM eventspool_subscription WHERE eventspool_subscription.id = ?))
    AND (id > ${CLAIMED_ID} OR ${IS_LEASED})
  ORDER BY id LIMIT ?`;

const READ_DELIVERED = `
  SELECT id, put_at_ms AS putAtMs, body FROM eventspool_event
  WHERE id < ? AND id <= ${CLAIMED_ID} AND NOT ${IS_LEASED}
  ORDER BY id DESC LIMIT ?`;

/** Adds to the count of events that puts rejected for a reason. */
export const ADD_REJECTED = `
  INSERT INTO eventspool_rejected_put (reason, count) VALUES (?, ?)
  ON CONFLICT (reason) DO UPDATE SET count = count + excluded.count`;

/** Changes the row cap. */
export const SET_MAX_EVENTS = "UPDATE eventspool_queue SET max_events = ? WHERE one = 1";

/** What is retained is measured again. */
const SET_RETENTION = `
  UPDATE eventspool_queue SET retention_ms = ?, retention_bytes = ?, measured_id = 0, retained_bytes = 0`;

/** The counters that the row cap depends on. */
export interface Counters {
  /** The highest id ever assigned. */
  readonly newestId: number;
  /** Waiting and leased events, of the required subscription that lags most. */
  readonly depth: number;
  /** The row cap. */
  readonly maxEvents: number;
}

type StateRow = Pick<QueueState, "newestId" | "depth" | "maxEvents" | "retainedBytes"> & {
  readonly maxAgeMs: number | null;
  readonly maxBytes: number | null;
  readonly rejectedPuts: string;
  readonly oldestPutAtMs: number | null;
  readonly rolledBackAtMs: number | null;
};

/** Puts events into a queue file and counts them. */
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
  readonly #setRetention;
  readonly #read;
  readonly #readWaiting;
  readonly #readDelivered;
  readonly #subscriptions: SubscriptionTable;
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
    this.#state = file.prepare<[], StateRow>(STATE);
    this.#setMaxEvents = file.prepare<[number]>(SET_MAX_EVENTS);
    this.#setRetention = file.prepare<[number | null, number | null]>(SET_RETENTION);
    this.#read = file.prepare<[number, number, number], EventRow>(READ);
    this.#readWaiting = file.prepare<[number, number, number, number, number], EventRow>(READ_WAITING);
    this.#readDelivered = file.prepare<[number, number, number, number], EventRow>(READ_DELIVERED);
    this.#subscriptions = new SubscriptionTable(file);
    this.#addRejected = file.prepare<[RejectionReason, number]>(ADD_REJECTED);
  }

  /** The version of a batch that the events are for; undefined: unknown. @throws {EventStorageError} */
  batchVersion(): BatchVersion | undefined {
    const read = this.#file.prepare<[], { batchVersion: BatchVersion | null }>(BATCH_VERSION);
    return this.#file.run(() => read.get())?.batchVersion ?? undefined;
  }

  /** @throws {EventStorageError} */
  setBatchVersion(version: BatchVersion): void {
    const set = this.#file.prepare<[BatchVersion]>(SET_BATCH_VERSION);
    this.#file.write(() => set.run(version));
  }

  /**
   * Stores one event and commits. False: the queue is full.
   *
   * @param trace the span that puts it @throws {EventStorageError}
   */
  put(body: Uint8Array, trace?: string): boolean {
    // A full queue stays full for a while: to check costs 2 us and no lock, to try a write five times that.
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
   * @param traceOf returns the span that puts an event @throws {EventStorageError}
   */
  putMany(bodies: readonly Uint8Array[], traceOf?: TraceOf): boolean {
    this.#checkFile(bodies.length, sizeOf(bodies));
    return this.#file.transaction(() => {
      const { newestId, depth, maxEvents } = this.counters();
      if (depth + bodies.length > maxEvents) return false;
      this.#insertAfter(newestId, bodies, traceOf);
      return true;
    });
  }

  /**
   * Stores events in one transaction, in order, as far as they fit, and does not wait for the disk. Returns how
   * many did.
   *
   * @param traceOf returns the span that puts an event
   * @param busyTimeoutMs how long to wait for the lock, if less than the file's own timeout; 0: not at all
   * @throws {EventStorageError}
   */
  putWhatFits(bodies: readonly Uint8Array[], traceOf?: TraceOf, busyTimeoutMs?: number): number {
    this.#checkFile(bodies.length, sizeOf(bodies));
    return this.#file.transactionToSync(() => {
      const { newestId, depth, maxEvents } = this.counters();
      const room = Math.max(0, maxEvents - depth);
      const fitting = bodies.slice(0, room);
      this.#insertAfter(newestId, fitting, traceOf);
      return fitting.length;
    }, busyTimeoutMs);
  }

  /** Events waiting and leased; O(1). */
  depth(): number {
    return this.counters().depth;
  }

  /** How many more events fit now; negative if the cap was lowered below the depth. O(1). */
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

  /** Changes the row cap for all processes. Events above a lower cap stay. @throws {EventStorageError} */
  setMaxEvents(maxEvents: number): void {
    if (this.maxEvents === maxEvents) return; // the usual case, without a lock
    this.#file.write(() => this.#setMaxEvents.run(maxEvents));
  }

  /** How long settled events stay. @throws {EventStorageError} */
  retention(): Retention {
    const { maxAgeMs, maxBytes } = this.#file.run(() => this.#state.get()) as StateRow;
    return { maxAgeMs: maxAgeMs ?? undefined, maxBytes: maxBytes ?? undefined };
  }

  /** Changes how long settled events stay, for all processes. @throws {EventStorageError} */
  setRetention({ maxAgeMs, maxBytes }: Retention): void {
    const now = this.retention();
    if (now.maxAgeMs === maxAgeMs && now.maxBytes === maxBytes) return; // the usual case, without a lock
    this.#file.write(() => this.#setRetention.run(maxAgeMs ?? null, maxBytes ?? null));
  }

  /** All counts of the queue and its subscriptions. */
  state(): QueueState {
    const { maxAgeMs, maxBytes, ...row } = this.#file.run(() => this.#state.get()) as StateRow;
    const subscriptions = this.#subscriptions.list();
    const sum = (key: "leased" | "deadLetters" | "deadLetterBytes" | "droppedDeadLetters"): number =>
      subscriptions.reduce((total, subscription) => total + subscription[key], 0);
    return {
      ...row,
      leased: sum("leased"),
      deadLetters: sum("deadLetters"),
      deadLetterBytes: sum("deadLetterBytes"),
      droppedDeadLetters: sum("droppedDeadLetters"),
      oldestPutAtMs: row.oldestPutAtMs ?? undefined,
      rolledBackAtMs: row.rolledBackAtMs ?? undefined,
      rejectedPuts: { ...NONE_REJECTED, ...(JSON.parse(row.rejectedPuts) as Partial<RejectedPuts>) },
      retention: { maxAgeMs: maxAgeMs ?? undefined, maxBytes: maxBytes ?? undefined },
      subscriptions,
    };
  }

  /**
   * Events that a subscription has not settled, leased or not, with an id from `fromId` on, the oldest first.
   *
   * @param page `subscription`: default `default` @throws {EventStorageError} `NO_SUBSCRIPTION`
   */
  readWaiting({
    fromId,
    limit,
    subscription = DEFAULT_SUBSCRIPTION,
  }: EventPage & { fromId: number }): EventRow[] {
    const id = this.#subscriptions.idOf(subscription);
    return this.#file.run(() => this.#readWaiting.all(fromId, id, id, id, limit));
  }

  /**
   * Events that a subscription has settled and that are still in the file, with an id below `beforeId`, the newest first.
   *
   * @param page `subscription`: default `default` @throws {EventStorageError} `NO_SUBSCRIPTION`
   */
  readDelivered({
    beforeId = Number.MAX_SAFE_INTEGER,
    limit,
    subscription = DEFAULT_SUBSCRIPTION,
  }: EventPage & { beforeId?: number }): EventRow[] {
    const id = this.#subscriptions.idOf(subscription);
    return this.#file.run(() => this.#readDelivered.all(beforeId, id, id, limit));
  }

  /** Events by their ids, settled or not, at most `limit` of them. */
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

  /** The counters that the row cap depends on. O(1). */
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

  #insertAfter(newestId: number, bodies: readonly Uint8Array[], traceOf?: TraceOf): void {
    const nowMs = Date.now();
    let id = newestId;
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
