/** Subscriptions: the readers of a queue. Each gets every event from its start on, at its own pace. */
import { ConfigurationError, EventStorageError } from "../errors.ts";
import { didYouMean } from "../format.ts";
import type { QueueFile } from "./queue_file.ts";

/** The subscription that each queue begins with, and that a publisher serves unless it names another. */
export const DEFAULT_SUBSCRIPTION = "default";

/** The longest name of a subscription, in characters. */
const MAX_NAME_CHARS = 100;

/**
 * Which event a subscription gets first: the next one that is put, the oldest one in the file, the one with this id,
 * or the first one that was put at this time or later.
 */
export type SubscriptionStart = "now" | "oldest" | number | Date;

/** How far a best-effort subscription may lag behind before it skips events; with neither it is required. */
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
  /** Whether it holds the row cap: puts are rejected before it would miss an event. Else it is best-effort. */
  readonly isRequired: boolean;
  /** How many events a best-effort one may lag behind; undefined: no such limit. */
  readonly maxLagEvents: number | undefined;
  /** How old its oldest event may become, in milliseconds; undefined: no such limit. */
  readonly maxLagMs: number | undefined;
  /** The highest id it has claimed. */
  readonly claimedId: number;
  /** Its events, waiting and leased; those of a replay do not count. */
  readonly depth: number;
  /** Those in leases that have not expired: on their way. */
  readonly leased: number;
  /** When the oldest of them was put, in Unix milliseconds; undefined: there is none. */
  readonly oldestPutAtMs: number | undefined;
  /** Events that it never got, since it lagged too far behind, ever. */
  readonly skipped: number;
  /** When it skipped events last, in Unix milliseconds; undefined: never. */
  readonly skippedAtMs: number | undefined;
  /** How many ids of a replay are yet to be sent again. */
  readonly replayLeft: number;
  /** Events that its destination rejected by themselves. */
  readonly deadLetters: number;
  /** Their bodies and responses, in bytes. */
  readonly deadLetterBytes: number;
  /** Dead letters that were dropped to make room for newer ones, ever. */
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

/** What must not be trimmed of what all subscriptions have claimed: what lies in a lease, or in what is left of a replay. */
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

  /** Whether there is one with this name. */
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
   * Adds a subscription. Where one with this name exists, nothing changes.
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
    if (this.has(name)) return false; // most often, and it takes no lock
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
   * Lets a subscription go on from another event: those before it are not sent (again), those from it on are. What a
   * publisher holds of it is no longer its to settle. A replay that is under way goes on.
   *
   * @returns the id of the first event that it gets now: a later one than asked for, where that one was trimmed
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
    if (!isKnown) this.#file.transaction(() => this.#sql.setDestination.run(url, id)); // else, most often, it takes no lock
  }

  /**
   * Makes a subscription best-effort or, without a limit, required.
   *
   * @throws {ConfigurationError} it is the only required one and would be best-effort
   * @throws {EventStorageError} `NO_SUBSCRIPTION`; the file cannot be written
   */
  setLagLimit(name: string, { maxEvents, maxAgeMs }: LagLimit): void {
    const now = this.get(name);
    if (now.maxLagEvents === maxEvents && now.maxLagMs === maxAgeMs) return; // most often, and it takes no lock
    this.#file.transaction(() => {
      const id = this.idOf(name);
      if (maxEvents !== undefined || maxAgeMs !== undefined) this.#assertOtherRequired(id, name);
      this.#sql.setLagLimit.run(maxEvents ?? null, maxAgeMs ?? null, id);
      this.#sql.settleQueue.run();
    });
  }

  /**
   * Lets best-effort subscriptions that lag too far behind skip events. Leases that lie within what is skipped end; one
   * that reaches beyond it stays. Returns what was skipped.
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
   * Has events sent again that a subscription has settled, with the same ids, by its publisher. Those that it has not
   * settled yet are sent anyway.
   *
   * @returns how many events these are, in {@link IdBounds}; undefined: none of them is left in the file
   * @throws {ConfigurationError} a replay of it is under way
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

  /** Which ids of a range a replay would send again; undefined: none of them is left in the file. */
  replayable({ claimedId }: Pick<SubscriptionState, "claimedId">, range: IdBounds): IdBounds | undefined {
    const firstId = this.#file.run(() => this.#sql.at.get(range.firstId))?.id;
    const lastId = Math.min(range.lastId, claimedId);
    return firstId === undefined || firstId > lastId ? undefined : { firstId, lastId };
  }

  /** How many events there are in a range of ids, and how many bytes they have. */
  sum({ firstId, lastId }: IdBounds): { count: number; bytes: number } {
    const sum = this.#file.run(() => this.#sql.sum.get(firstId, lastId));
    return { count: sum?.count ?? 0, bytes: sum?.bytes ?? 0 };
  }

  /** Ends a replay: what is not sent again yet stays as it is. @throws {EventStorageError} */
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

  /** Up to which id a subscription may not lag behind. */
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
 * Gives the name back if a subscription may have it: letters, digits, `.`, `_` and `-`, at most 100 of them, and it
 * does not start with `.`.
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

/** Whether a subscription may have this name. */
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
