/** Subscriptions: the readers of a queue. Each gets every event from its start on, at its own pace. */
import { ConfigurationError, EventStorageError } from "../errors.ts";
import { didYouMean } from "../format.ts";
import type { QueueFile } from "./queue_file.ts";

/** The subscription that each new queue has, and that publishers serve by default. */
export const DEFAULT_SUBSCRIPTION = "default";

/** The longest name of a subscription, in characters. */
const MAX_NAME_CHARS = 100;

/**
 * The first event of a subscription: the next event that is put, the oldest event in the file, the event with this id, or
 * the first event that was put at this time or later.
 */
export type SubscriptionStart = "now" | "oldest" | number | Date;

/** How far a best-effort subscription may lag before it skips events. Without a limit the subscription is required. */
export interface LagLimit {
  /** In events. */
  readonly maxEvents?: number | undefined;
  /** In milliseconds since its oldest event was put. */
  readonly maxAgeMs?: number | undefined;
}

/** A subscription, at one moment. */
export interface SubscriptionState {
  /** Unique in its queue. */
  readonly name: string;
  /** Whether puts are rejected before it would miss an event. Otherwise it is best-effort, and skips events. */
  readonly isRequired: boolean;
  /** How many events it may lag; undefined: no limit. */
  readonly maxLagEvents: number | undefined;
  /** How old its oldest event may be, in milliseconds; undefined: no limit. */
  readonly maxLagMs: number | undefined;
  /** The highest id it has claimed. */
  readonly claimedId: number;
  /** Its waiting and leased events, without those of a replay. */
  readonly depth: number;
  /** Its events in leases that have not expired: they are being sent. */
  readonly leased: number;
  /** When the oldest of them was put, in Unix milliseconds; undefined: there is none. */
  readonly oldestPutAtMs: number | undefined;
  /** How many events it ever skipped because it lagged too far. */
  readonly skipped: number;
  /** When it skipped events last, in Unix milliseconds; undefined: never. */
  readonly skippedAtMs: number | undefined;
  /** How many ids of a replay are still to be sent. */
  readonly replayLeft: number;
  /** Its dead letters: events that its destination rejected. */
  readonly deadLetters: number;
  /** Their bodies and responses, in bytes. */
  readonly deadLetterBytes: number;
  /** How many dead letters were ever dropped for newer ones. */
  readonly droppedDeadLetters: number;
}

/** Events that a best-effort subscription has skipped. */
export interface SkippedEvents {
  readonly subscription: string;
  readonly count: number;
}

/** A range of ids, both included. */
export interface IdBounds {
  readonly firstId: number;
  readonly lastId: number;
}

/** The condition that a row of the table is of a required subscription. */
const IS_REQUIRED = "lag_limit_events IS NULL AND lag_limit_ms IS NULL";

/** The lowest id that a subscription has not settled; the next one to be assigned, if it has settled all. */
export const UNSETTLED_ID: string = `coalesce(
  (SELECT min(first_id) FROM eventspool_lease WHERE subscription_id = eventspool_subscription.id AND is_replay = 0),
  eventspool_subscription.claimed_id + 1)`;

/** When the oldest event was put that a required subscription has not settled. */
export const OLDEST_PUT_AT: string = `
  (SELECT put_at_ms FROM eventspool_event
   WHERE id >= (SELECT min(${UNSETTLED_ID}) FROM eventspool_subscription WHERE ${IS_REQUIRED})
   ORDER BY id LIMIT 1)`;

/** Brings the queue's count up to date after a subscription's has changed. There must be a required one. */
export const SETTLE_QUEUE: string = `
  UPDATE eventspool_queue
  SET settled_count = (SELECT min(settled_count) FROM eventspool_subscription WHERE ${IS_REQUIRED})`;

/** Events that all subscriptions have claimed and that must not be trimmed: those in a lease or in the rest of a replay. */
export const KEPT_RANGES = `
  SELECT first_id AS firstId, last_id AS lastId FROM eventspool_lease
  UNION ALL
  SELECT replay_next_id, replay_last_id FROM eventspool_subscription WHERE replay_next_id IS NOT NULL`;

const NEWEST_ID = `
  (SELECT max(coalesce((SELECT max(id) FROM eventspool_event), 0), claimed_id) FROM eventspool_queue)`;

const LEASE_LENGTHS = (condition: string): string => `
  (SELECT coalesce(sum(last_id - first_id + 1), 0) FROM eventspool_lease
   WHERE subscription_id = eventspool_subscription.id AND ${condition})`;

const LIST = `
  SELECT name, ${IS_REQUIRED} AS isRequired, lag_limit_events AS maxLagEvents, lag_limit_ms AS maxLagMs,
    claimed_id AS claimedId, ${NEWEST_ID} - settled_count AS depth,
    ${LEASE_LENGTHS("is_replay = 0 AND expires_at_ms > ?")} AS leased,
    (SELECT put_at_ms FROM eventspool_event WHERE eventspool_event.id >= ${UNSETTLED_ID} ORDER BY id LIMIT 1)
      AS oldestPutAtMs,
    skipped_count AS skipped, skipped_at_ms AS skippedAtMs,
    coalesce(replay_last_id - replay_next_id + 1, 0) + ${LEASE_LENGTHS("is_replay = 1")} AS replayLeft,
    dead_letter_count AS deadLetters, dead_letter_bytes AS deadLetterBytes,
    dropped_dead_letter_count AS droppedDeadLetters
  FROM eventspool_subscription ORDER BY id`;

interface StateRow {
  readonly isRequired: number;
  readonly maxLagEvents: number | null;
  readonly maxLagMs: number | null;
  readonly oldestPutAtMs: number | null;
  readonly skippedAtMs: number | null;
}
type ListRow = Omit<SubscriptionState, keyof StateRow> & StateRow;

interface LaggingRow {
  readonly id: number;
  readonly name: string;
  readonly unsettledId: number;
  readonly newestId: number;
  readonly maxEvents: number | null;
  readonly maxAgeMs: number | null;
}

/** Lists, adds, moves and removes the subscriptions of a queue. */
export class SubscriptionTable {
  readonly #file: QueueFile;
  readonly #sql;

  constructor(file: QueueFile) {
    this.#file = file;
    this.#sql = prepareStatements(file);
  }

  /** All of them, the oldest first. */
  list(): SubscriptionState[] {
    return this.#file
      .run(() => this.#sql.list.all(Date.now()))
      .map((row) => ({
        ...row,
        isRequired: row.isRequired === 1,
        maxLagEvents: row.maxLagEvents ?? undefined,
        maxLagMs: row.maxLagMs ?? undefined,
        oldestPutAtMs: row.oldestPutAtMs ?? undefined,
        skippedAtMs: row.skippedAtMs ?? undefined,
      }));
  }

  /** One of them. @throws {EventStorageError} `NO_SUBSCRIPTION` */
  get(name: string): SubscriptionState {
    const found = this.list().find((subscription) => subscription.name === name);
    if (found === undefined) throw this.#missing(name);
    return found;
  }

  /** Whether a subscription has this name. */
  has(name: string): boolean {
    return this.#file.run(() => this.#sql.id.get(name)) !== undefined;
  }

  /** Its number in other tables. @throws {EventStorageError} `NO_SUBSCRIPTION` */
  idOf(name: string): number {
    const id = this.#file.run(() => this.#sql.id.get(name));
    if (id === undefined) throw this.#missing(name);
    return id;
  }

  /**
   * Adds a subscription. If it exists, nothing changes.
   *
   * @param start default: `now` @param limit default: it is required
   * @returns whether it was added
   * @throws {ConfigurationError} the name is not valid @throws {EventStorageError} the file cannot be written
   */
  add(
    name: string,
    { start = "now", limit = {} }: { start?: SubscriptionStart; limit?: LagLimit } = {},
  ): boolean {
    checkSubscriptionName(name);
    if (this.has(name)) return false; // the usual case, without a lock
    return this.#file.transaction(() => {
      const { maxEvents, maxAgeMs } = limit;
      if (this.#sql.add.run(name, maxEvents ?? null, maxAgeMs ?? null).changes === 0) return false;
      this.#startAt(this.idOf(name), this.#firstIdOf(start));
      return true;
    });
  }

  /**
   * Removes a subscription with its leases and its dead letters. Events that only it kept are trimmed soon.
   *
   * @throws {ConfigurationError} it is the only required one
   * @throws {EventStorageError} `NO_SUBSCRIPTION`; the file cannot be written
   */
  remove(name: string): void {
    this.#file.transaction(() => {
      const id = this.idOf(name);
      this.#assertOtherRequired(id, name);
      for (const remove of this.#sql.remove) remove.run(id);
      this.#sql.settleQueue.run();
    });
  }

  /**
   * Moves a subscription to another event: events before it are not sent (again), it and later events are. The leases of
   * its publishers end. A replay in progress continues.
   *
   * @returns the id of the first event that it gets now: a later one if the requested one was trimmed
   * @throws {EventStorageError} `NO_SUBSCRIPTION`; the file cannot be written
   */
  seek(name: string, start: SubscriptionStart): number {
    return this.#file.transaction(() => {
      const id = this.idOf(name);
      const firstId = this.#firstIdOf(start);
      this.#sql.dropLeases.run(id, Number.MAX_SAFE_INTEGER);
      this.#sql.noteSent.run(id);
      this.#startAt(id, firstId);
      return firstId;
    });
  }

  /** Notes where the events of a subscription are sent. @throws {EventStorageError} `NO_SUBSCRIPTION`; the file cannot be written */
  noteDestination(name: string, url: string): void {
    const id = this.idOf(name);
    const isKnown = this.#file.run(() => this.#sql.destination.get(id)) === url;
    if (!isKnown) this.#file.transaction(() => this.#sql.setDestination.run(url, id)); // the usual case takes no lock
  }

  /**
   * Makes a subscription best-effort or, without a limit, required.
   *
   * @throws {ConfigurationError} it is the only required one and would be best-effort
   * @throws {EventStorageError} `NO_SUBSCRIPTION`; the file cannot be written
   */
  setLagLimit(name: string, { maxEvents, maxAgeMs }: LagLimit): void {
    const now = this.get(name);
    if (now.maxLagEvents === maxEvents && now.maxLagMs === maxAgeMs) return; // the usual case, without a lock
    this.#file.transaction(() => {
      const id = this.idOf(name);
      if (maxEvents !== undefined || maxAgeMs !== undefined) this.#assertOtherRequired(id, name);
      this.#sql.setLagLimit.run(maxEvents ?? null, maxAgeMs ?? null, id);
      this.#sql.settleQueue.run();
    });
  }

  /**
   * Makes best-effort subscriptions skip events if they lag too far. Leases of skipped events end; a lease with later
   * events stays. Returns what was skipped.
   *
   * @throws {EventStorageError} the file cannot be written
   */
  skipLagging(nowMs: number = Date.now()): SkippedEvents[] {
    const isLagging = (row: LaggingRow): boolean => this.#limitId(row, nowMs) >= row.unsettledId;
    if (!this.#file.run(() => this.#sql.bestEffort.all()).some(isLagging)) return [];
    return this.#file.transaction(() =>
      this.#sql.bestEffort
        .all()
        .filter(isLagging)
        .map((row) => ({ subscription: row.name, count: this.#skipTo(row, nowMs) }))
        .filter(({ count }) => count > 0),
    );
  }

  /**
   * Makes a subscription's publisher send settled events again, with the same ids. Unsettled ones are sent anyway.
   *
   * @returns the number of events, in {@link IdBounds}; undefined: none of them is still in the file
   * @throws {ConfigurationError} a replay of it is in progress
   * @throws {EventStorageError} `NO_SUBSCRIPTION`; the file cannot be written
   */
  replay(name: string, range: IdBounds): IdBounds | undefined {
    return this.#file.transaction(() => {
      const subscription = this.get(name);
      if (subscription.replayLeft > 0) {
        const problem = `subscription ${JSON.stringify(name)} replays events already (${subscription.replayLeft} are left): wait for its end, or stop it.`;
        throw new ConfigurationError(problem);
      }
      const bounds = this.replayable(subscription, range);
      if (bounds !== undefined) this.#sql.setReplay.run(bounds.firstId, bounds.lastId, this.idOf(name));
      return bounds;
    });
  }

  /** The ids of a range that a replay would send; undefined: none of them is still in the file. */
  replayable({ claimedId }: Pick<SubscriptionState, "claimedId">, range: IdBounds): IdBounds | undefined {
    const firstId = this.#file.run(() => this.#sql.at.get(range.firstId))?.id;
    const lastId = Math.min(range.lastId, claimedId);
    return firstId === undefined || firstId > lastId ? undefined : { firstId, lastId };
  }

  /** The number of events in a range of ids, and their bytes. */
  sum({ firstId, lastId }: IdBounds): { count: number; bytes: number } {
    const sum = this.#file.run(() => this.#sql.sum.get(firstId, lastId));
    return { count: sum?.count ?? 0, bytes: sum?.bytes ?? 0 };
  }

  /** Ends a replay; its other events are not sent again. @throws {EventStorageError} */
  stopReplay(name: string): void {
    this.#file.transaction(() => {
      const id = this.idOf(name);
      this.#sql.setReplay.run(null, null, id);
      this.#sql.dropReplayLeases.run(id);
    });
  }

  /** The id of the first event that was put at a time or later; the next one to be assigned, if there is none. */
  firstIdAt(timeMs: number): number {
    return this.#file.run(() => firstIdAt(timeMs, (id) => this.#sql.at.get(id), this.#newestId()));
  }

  #newestId(): number {
    return this.#sql.newestId.get() as number;
  }

  #firstIdOf(start: SubscriptionStart): number {
    const nextId = this.#newestId() + 1;
    if (start === "now") return nextId;
    const askedId = start === "oldest" ? 1 : start instanceof Date ? this.firstIdAt(start.getTime()) : start;
    return this.#sql.at.get(askedId)?.id ?? nextId;
  }

  /**
   * Lets a subscription begin with an event. Where ids above it have no event for it any more, they are settled now, and
   * what lies between them becomes leases that have expired. Else these ids would count against the row cap until a
   * publisher gets to them, and the highest ones until the next put.
   */
  #startAt(id: number, firstId: number): void {
    let nextId = firstId;
    let settled = firstId - 1;
    for (const gap of this.#gapsFrom(firstId, id)) {
      if (gap.firstId > nextId) this.#sql.lease.run(id, nextId, gap.firstId - 1, Date.now());
      settled += gap.lastId - gap.firstId + 1;
      nextId = gap.lastId + 1;
    }
    this.#sql.start.run(nextId - 1, settled, id);
    this.#sql.settleQueue.run();
  }

  /**
   * The gaps above an event where others were trimmed, and, below the last gap, the events that are another subscription's
   * alone: sorted, apart. Trimming leaves gaps beside what it keeps, and at the end: a search of all rows would hold the
   * lock for seconds.
   */
  #gapsFrom(firstId: number, subscriptionId: number): IdBounds[] {
    const newestId = this.#newestId();
    const edges = this.#sql.kept.all(firstId).flatMap((kept) => [kept.firstId, kept.lastId + 1]);
    const gaps = new Map<number, IdBounds>();
    for (const edge of [...edges, newestId + 1]) {
      if (edge <= firstId) continue;
      const gap = {
        firstId: (this.#sql.before.get(edge) ?? firstId - 1) + 1,
        lastId: (this.#sql.at.get(edge)?.id ?? newestId + 1) - 1,
      };
      if (gap.firstId <= gap.lastId) gaps.set(gap.firstId, gap);
    }
    const endId = Math.max(firstId, ...gaps.keys());
    const others = this.#sql.others.all(firstId, endId - 1, subscriptionId);
    return [...gaps.values(), ...others.map((id) => ({ firstId: id, lastId: id }))].sort(
      (a, b) => a.firstId - b.firstId,
    );
  }

  #assertOtherRequired(id: number, name: string): void {
    if (this.#sql.otherRequired.get(id) !== undefined) return;
    const problem = `${JSON.stringify(name)} is the only required subscription, and one must hold the queue's limit (max_queue_size): add another required one first.`;
    throw new ConfigurationError(problem, { key: "subscription" });
  }

  /** The id up to which a subscription must have come. */
  #limitId({ newestId, maxEvents, maxAgeMs }: LaggingRow, nowMs: number): number {
    const byCount = maxEvents === null ? 0 : newestId - maxEvents;
    const byAge = maxAgeMs === null ? 0 : this.firstIdAt(nowMs - maxAgeMs) - 1;
    return Math.max(byCount, byAge);
  }

  #skipTo(row: LaggingRow, nowMs: number): number {
    const { id } = row;
    const limitId = this.#limitId(row, nowMs);
    const leased = this.#sql.leasedUpTo.get(id, limitId) ?? 0;
    this.#sql.dropLeases.run(id, limitId);
    const unclaimed = Math.max(0, limitId - (this.#sql.claimedId.get(id) as number));
    const count = leased + unclaimed;
    if (count > 0) this.#sql.skip.run(unclaimed, count, count, nowMs, id);
    return count;
  }

  #missing(name: string): EventStorageError {
    const names = this.#file.run(() => this.#sql.names.all());
    const meant = didYouMean(name, names);
    const hint = meant === undefined ? `has ${names.join(", ")}` : `has ${JSON.stringify(meant)}`;
    const problem = `The queue file ${this.#file.path} has no subscription ${JSON.stringify(name)}; it ${hint}. Add it with: eventspool subscriptions add ${name}`;
    return new EventStorageError("NO_SUBSCRIPTION", this.#file.path, problem);
  }
}

/** Puts come in the order of time, unless the clock was set: so ids can be searched by halving, in 25 seeks or so. */
function firstIdAt(
  timeMs: number,
  at: (id: number) => { id: number; putAtMs: number } | undefined,
  newestId: number,
): number {
  let [low, high] = [at(1)?.id ?? newestId + 1, newestId + 1];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const event = at(middle);
    if (event === undefined || event.putAtMs >= timeMs) high = middle;
    else low = event.id + 1;
  }
  return low;
}

const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

/**
 * Returns the name if it is valid: at most 100 letters, digits, `.`, `_` and `-`, not starting with `.`.
 *
 * @throws {ConfigurationError}
 */
export function checkSubscriptionName(name: string): string {
  if (isSubscriptionName(name)) return name;
  throw new ConfigurationError(
    `${JSON.stringify(name)} is not a subscription name: use letters, digits, ".", "_" and "-", ` +
      `not starting with ".", at most ${MAX_NAME_CHARS} of them.`,
  );
}

/** Whether the name of a subscription is valid. */
export function isSubscriptionName(name: string): boolean {
  return NAME.test(name) && name.length <= MAX_NAME_CHARS;
}

function prepareStatements(file: QueueFile) {
  return {
    list: file.prepare<[number], ListRow>(LIST),
    names: file.prepareFirst<[], string>("SELECT name FROM eventspool_subscription ORDER BY id"),
    id: file.prepareFirst<[string], number>("SELECT id FROM eventspool_subscription WHERE name = ?"),
    claimedId: file.prepareFirst<[number], number>(
      "SELECT claimed_id FROM eventspool_subscription WHERE id = ?",
    ),
    newestId: file.prepareFirst<[], number>(`SELECT ${NEWEST_ID}`),
    at: file.prepare<[number], { id: number; putAtMs: number }>(
      "SELECT id, put_at_ms AS putAtMs FROM eventspool_event WHERE id >= ? ORDER BY id LIMIT 1",
    ),
    sum: file.prepare<[number, number], { count: number; bytes: number }>(
      `SELECT count(*) AS count, coalesce(sum(length(body)), 0) AS bytes FROM eventspool_event
       WHERE id BETWEEN ? AND ?`,
    ),
    destination: file.prepareFirst<[number], string | null>(
      "SELECT destination FROM eventspool_subscription WHERE id = ?",
    ),
    setDestination: file.prepare<[string, number]>(
      "UPDATE eventspool_subscription SET destination = ? WHERE id = ?",
    ),
    otherRequired: file.prepareFirst<[number], number>(
      `SELECT id FROM eventspool_subscription WHERE id <> ? AND ${IS_REQUIRED}`,
    ),
    kept: file.prepare<[number], IdBounds>(`SELECT firstId, lastId FROM (${KEPT_RANGES}) WHERE lastId >= ?`),
    before: file.prepareFirst<[number], number | null>("SELECT max(id) FROM eventspool_event WHERE id < ?"),
    others: file.prepareFirst<[number, number, number], number>(
      `SELECT id FROM eventspool_retried JOIN eventspool_event USING (id)
       WHERE id BETWEEN ? AND ? AND subscription_id <> ?`,
    ),
    add: file.prepare<[string, number | null, number | null]>(
      `INSERT OR IGNORE INTO eventspool_subscription
         (name, claimed_id, settled_count, lag_limit_events, lag_limit_ms, sent_id)
       VALUES (?, 0, 0, ?, ?, (SELECT claimed_id FROM eventspool_queue))`,
    ),
    start: file.prepare<[number, number, number]>(
      "UPDATE eventspool_subscription SET claimed_id = ?, settled_count = ? WHERE id = ?",
    ),
    // The destination may have the events from before the subscription was added or moved.
    lease: file.prepare<[number, number, number, number]>(
      `INSERT INTO eventspool_lease
         (subscription_id, first_id, last_id, claimed_at_ms, expires_at_ms, attempts, sends)
       VALUES (?, ?, ?, ?, 0, 0, 1)`,
    ),
    remove: [
      file.prepare<[number]>("DELETE FROM eventspool_lease WHERE subscription_id = ?"),
      file.prepare<[number]>("DELETE FROM eventspool_dead_letter WHERE subscription_id = ?"),
      file.prepare<[number]>("DELETE FROM eventspool_subscription WHERE id = ?"),
    ],
    noteSent: file.prepare<[number]>(
      "UPDATE eventspool_subscription SET sent_id = max(sent_id, claimed_id) WHERE id = ?",
    ),
    setLagLimit: file.prepare<[number | null, number | null, number]>(
      "UPDATE eventspool_subscription SET lag_limit_events = ?, lag_limit_ms = ? WHERE id = ?",
    ),
    setReplay: file.prepare<[number | null, number | null, number]>(
      "UPDATE eventspool_subscription SET replay_next_id = ?, replay_last_id = ? WHERE id = ?",
    ),
    bestEffort: file.prepare<[], LaggingRow>(
      `SELECT id, name, ${UNSETTLED_ID} AS unsettledId, ${NEWEST_ID} AS newestId,
         lag_limit_events AS maxEvents, lag_limit_ms AS maxAgeMs
       FROM eventspool_subscription WHERE NOT (${IS_REQUIRED})`,
    ),
    leasedUpTo: file.prepareFirst<[number, number], number>(
      `SELECT coalesce(sum(last_id - first_id + 1), 0) FROM eventspool_lease
       WHERE subscription_id = ? AND is_replay = 0 AND last_id <= ?`,
    ),
    dropLeases: file.prepare<[number, number]>(
      "DELETE FROM eventspool_lease WHERE subscription_id = ? AND is_replay = 0 AND last_id <= ?",
    ),
    dropReplayLeases: file.prepare<[number]>(
      "DELETE FROM eventspool_lease WHERE subscription_id = ? AND is_replay = 1",
    ),
    skip: file.prepare<[number, number, number, number, number]>(
      `UPDATE eventspool_subscription SET claimed_id = claimed_id + ?, settled_count = settled_count + ?,
         skipped_count = skipped_count + ?, skipped_at_ms = ? WHERE id = ?`,
    ),
    settleQueue: file.prepare<[]>(SETTLE_QUEUE),
  };
}
