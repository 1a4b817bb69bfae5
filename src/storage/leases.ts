/**
 * Leases: which publisher has which range of events.
 *
 * Claiming moves a cursor and writes one row, never the events themselves: the write lock is held
 * 18 us a batch (an `UPDATE ... RETURNING` of each event: 860 us).
 */
import { EventStorageError } from "../errors.ts";
import { type DeadLetterCause, type DeadLetterOptions, DeadLetterTable } from "./dead_letters.ts";
import { EpochTable } from "./epochs.ts";
import type { QueueFile } from "./queue_file.ts";
import { DEFAULT_SUBSCRIPTION, type IdBounds, SETTLE_QUEUE, SubscriptionTable } from "./subscriptions.ts";

/** A claimed range of events. It is settled by its id and attempts, never by its rows alone. */
export interface Lease {
  readonly id: number;
  readonly firstId: number;
  readonly lastId: number;
  /** How often the range was claimed, this time included: the fencing token. */
  readonly attempts: number;
  /** How many of these attempts a destination may have received, this one included: 1 means that none has before. */
  readonly sends: number;
}

/** A lease as others see it. */
export interface LeaseInfo extends Lease {
  readonly claimedAtMs: number;
  readonly expiresAtMs: number;
}

/** The events of a lease, joined by commas. */
export interface LeasedEvents {
  readonly count: number;
  readonly joined: Uint8Array;
  /** When they were put, in Unix milliseconds and in order; of many, {@link PUT_TIMES} evenly spread ones. */
  readonly putAtMs: readonly number[];
}

/** What to do with each event of a lease; those that are not named are delivered. */
export interface EventOutcomes {
  /** Those that become dead letters. */
  readonly dead: readonly ({ readonly id: number } & Pick<DeadLetterCause, "status" | "response">)[];
  /** The ids of those that are given back, in ascending order. */
  readonly kept: readonly number[];
}

/** Which of the leases that no publisher holds may be claimed; by default any. */
export interface ReclaimOptions {
  /** Leases not to claim, by their ids: those whose delivery is still in flight in this process. */
  readonly except?: { has(leaseId: number): boolean };
  /** Whether to claim only the lease with the oldest events, so that no other overtakes them. */
  readonly oldestOnly?: boolean;
  /** Whether to claim the one with the fewest attempts, so that one that always fails does not delay the others. */
  readonly fairly?: boolean;
}

/** What {@link LeaseTable.claimNext} claims at most. */
export interface ClaimLimits extends Pick<ReclaimOptions, "except"> {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

/** What a publisher looks at before it claims: all of it at one moment. */
export interface ClaimState {
  /** The cursor: the highest id that the subscription has claimed. */
  readonly claimedId: number;
  /** The first event above the cursor: the next id, unless rows were trimmed or deleted by hand. Null: there is none. */
  readonly firstId: number | null;
  /** The last event in the file; null: there is none. */
  readonly newestId: number | null;
  /** How many leases the subscription has, held or not. */
  readonly leaseCount: number;
  /** How many of them were released or have expired. */
  readonly expiredCount: number;
  /** Where a replay continues; null: there is none to claim from. */
  readonly replayNextId: number | null;
  /** The first id of the current epoch. */
  readonly epochFirstId: number;
  /** Since when the queue is paused, in Unix milliseconds; null: it is not. */
  readonly pausedAtMs: number | null;
}

/** How far in the future a claim may be before it means that the clock was set back, in milliseconds. */
const CLOCK_SLACK_MS = 5_000;

const COLUMNS = "id, first_id AS firstId, last_id AS lastId, attempts, sends";
const IS_MINE = "id = ? AND attempts = ?";
const IS_EXPIRED = "(expires_at_ms <= ? OR claimed_at_ms > ?)";

/** Claims ranges of events for a subscription, and settles them. */
export class LeaseTable {
  /** Which UUIDs name the events. */
  readonly epochs: EpochTable;
  readonly #file: QueueFile;
  readonly #subscription: string;
  readonly #subscriptionId: number;
  readonly #durationMs: number;
  readonly #deadLetters: DeadLetterTable;
  readonly #sql;

  /**
   * @param durationMs how long a claim holds unless it is settled, in milliseconds
   * @param options whose leases they are, and how many dead letters it keeps
   * @throws {EventStorageError} `NO_SUBSCRIPTION`
   */
  constructor(file: QueueFile, durationMs: number, options: DeadLetterOptions = {}) {
    this.#file = file;
    this.#durationMs = durationMs;
    this.#subscription = options.subscription ?? DEFAULT_SUBSCRIPTION;
    this.#subscriptionId = new SubscriptionTable(file).idOf(this.#subscription);
    this.epochs = new EpochTable(file);
    this.#deadLetters = new DeadLetterTable(file, options);
    this.#sql = prepareStatements(file, this.#subscriptionId);
  }

  /**
   * What there is to claim. It is one statement: while others put, each one has to read its pages again (20 to 80 us).
   *
   * @throws {EventStorageError} `NO_SUBSCRIPTION`: the subscription was removed
   */
  state(): ClaimState {
    const nowMs = Date.now();
    const state = this.#file.run(() => this.#sql.state.get(nowMs, nowMs + CLOCK_SLACK_MS));
    if (state !== undefined) return state;
    const problem = `Subscription ${JSON.stringify(this.#subscription)} of the queue file ${this.#file.path} was removed: add it again and restart its publisher, or stop that one.`;
    throw new EventStorageError("NO_SUBSCRIPTION", this.#file.path, problem);
  }

  /** The cursor: the highest id that the subscription has claimed. @throws {EventStorageError} as {@link state} */
  claimedId(): number {
    return this.state().claimedId;
  }

  /** The first id above `id` that an event has: the next one, unless rows were trimmed or deleted by hand. Undefined: there is none. */
  firstIdAfter(id: number): number | undefined {
    return this.#file.run(() => this.#sql.firstAfter.get(id)) ?? undefined;
  }

  /** Sizes in bytes of the events above `id`, in order, read without a lock. Finish or break off before the next call. */
  sizesAfter(id: number): IterableIterator<number> {
    return this.#sql.sizesAfter.iterate(id);
  }

  /** The number of events from one id to another, both included, their bytes, and the last one's id. */
  sum(firstId: number, lastId: number): { count: number; bytes: number; lastId: number } {
    return this.#file.run(() => this.#sql.sum.get(firstId, lastId)) as {
      count: number;
      bytes: number;
      lastId: number;
    };
  }

  /**
   * Claims the events above the cursor up to `lastId`, or up to an event that is another subscription's alone.
   * Undefined: another publisher moved the cursor first, or the first event was such a one; look again.
   */
  claim(claimedId: number, lastId: number): Lease | undefined {
    const firstId = claimedId + 1;
    // Without the lock: whose an event is does not change after its put.
    const endId = this.#file.run(() => this.#endOfMine(firstId, lastId));
    return this.#file.transaction(() => {
      const isOthers = endId < firstId;
      const nextId = isOthers ? firstId : endId;
      if (this.#sql.moveCursor.run(nextId, this.#subscriptionId, claimedId).changes === 0) return undefined;
      const lease = isOthers ? this.#settled(1) : this.#insert({ firstId, lastId: endId });
      this.#sql.noteClaimed.run(nextId, nextId);
      return lease;
    });
  }

  /** The next events of a replay that may be claimed, up to `lastId`; undefined: there is none, or its end was reached. */
  replayRange(): (IdBounds & { readonly nextId: number }) | undefined {
    const replay = this.#file.run(() => this.#sql.replay.get(this.#subscriptionId));
    if (replay === undefined) return undefined;
    const { nextId } = replay;
    for (let firstId = nextId; firstId <= replay.lastId; ) {
      const foundId = this.firstIdAfter(firstId - 1) ?? Number.POSITIVE_INFINITY; // others were trimmed before
      const lastId = this.#endOfReplayable(firstId, replay.lastId);
      if (foundId <= lastId) return { nextId, firstId: foundId, lastId };
      firstId = Math.max(foundId, lastId + 1, this.#endOfUnreplayable(firstId) + 1);
    }
    this.#file.transaction(() =>
      this.#sql.moveReplay.run(replay.lastId, replay.lastId, this.#subscriptionId, nextId),
    );
    return undefined;
  }

  /** Claims events of a {@link replayRange} up to `lastId`. Undefined: another publisher was faster. */
  claimReplay(
    { nextId, firstId }: { readonly nextId: number; readonly firstId: number },
    lastId: number,
  ): Lease | undefined {
    return this.#file.transaction(() => {
      const { changes } = this.#sql.moveReplay.run(lastId, lastId, this.#subscriptionId, nextId);
      return changes === 0 ? undefined : this.#insert({ firstId, lastId, isReplay: true });
    });
  }

  /** Claims the oldest lease that was released or whose publisher died. Undefined: there is none. */
  claimExpired({ except, oldestOnly = false, fairly = false }: ReclaimOptions = {}): Lease | undefined {
    const nowMs = Date.now();
    const futureMs = nowMs + CLOCK_SLACK_MS;
    const { findOldestExpired, findFairly, findExpired } = this.#sql;
    const find = oldestOnly ? findOldestExpired : fairly ? findFairly : findExpired;
    const found = this.#file.run(() => find.all(nowMs, futureMs)).find((id) => !except?.has(id));
    if (found === undefined) return undefined;
    // A transaction, since get() alone gives the row and says nothing when the commit fails, on a full disk say.
    return this.#file.transaction(() =>
      this.#sql.renew.get(nowMs, nowMs + this.#durationMs, found, nowMs, futureMs),
    );
  }

  /**
   * Claims what comes next: an expired lease, new events, or those of a replay. Undefined: there is none.
   *
   * @param limits how many events, and how many bytes of them: it ends with the event that reaches this
   */
  claimNext(limits: ClaimLimits): Lease | undefined {
    for (;;) {
      const lease = this.#claimNext(limits);
      if (lease !== "again") return lease;
    }
  }

  /** `again`: another process was faster, or an expired lease was too large and is two now. */
  #claimNext(limits: ClaimLimits): Lease | "again" | undefined {
    const { except } = limits;
    const expired = this.claimExpired(except && { except });
    if (expired !== undefined) {
      const lastId = this.#lastIdWithin(expired, limits);
      return lastId < expired.lastId && this.split(expired, lastId, false) ? "again" : expired;
    }
    const { claimedId, firstId } = this.state();
    if (firstId !== null) {
      const lastId = this.#lastIdWithin({ firstId, lastId: Number.MAX_SAFE_INTEGER }, limits);
      return this.claim(claimedId, lastId) ?? "again";
    }
    const range = this.replayRange();
    return range && (this.claimReplay(range, this.#lastIdWithin(range, limits)) ?? "again");
  }

  /** Where a range ends that is within limits. All of its events have one UUID. */
  #lastIdWithin({ firstId, lastId }: IdBounds, { maxEvents, maxBytes }: ClaimLimits): number {
    let [count, bytes] = [0, 0];
    for (const eventBytes of this.sizesAfter(firstId - 1)) {
      bytes += eventBytes;
      if (count > 0 && (count === maxEvents || bytes > maxBytes)) break;
      count++;
    }
    return Math.min(lastId, firstId + Math.max(1, count) - 1, this.epochs.lastIdFrom(firstId));
  }

  /** All leases of the subscription, held or not, by their first ids. */
  all(): LeaseInfo[] {
    return this.#file.run(() => this.#sql.all.all(this.#subscriptionId));
  }

  /**
   * How many of these events the destination may have from another subscription that sends to it: as many as the one has
   * settled that has settled most of them.
   */
  settledByOthers({ firstId, lastId }: IdBounds): number {
    const { settledByOthers } = this.#sql;
    return this.#file.run(() =>
      settledByOthers.get(lastId, firstId, lastId, firstId, lastId, firstId),
    ) as number;
  }

  /** Reads a lease's events, joined inside SQLite (0.19 us an event; row by row and Buffer.concat 0.33). */
  read(lease: Lease): LeasedEvents {
    const row = this.#file.run(() => this.#sql.join.get(lease.firstId, lease.lastId));
    const putAtMs = this.#file.run(() => this.#sql.putTimes.all(...spreadIds(lease)));
    return { count: row?.count ?? 0, joined: row?.joined ?? new Uint8Array(), putAtMs };
  }

  /** Reads them one by one, in the order of their ids. */
  readEach({ firstId, lastId }: Lease): {
    readonly id: number;
    readonly putAtMs: number;
    readonly body: Uint8Array;
  }[] {
    return this.#file.run(() => this.#sql.each.all(firstId, lastId));
  }

  /** Which spans have put a lease's events, as the column `trace` has them, each once, and at most `limit` of them. */
  traces({ firstId, lastId }: Lease, limit: number): string[] {
    return this.#file.run(() => this.#sql.traces.all(firstId, lastId, limit));
  }

  /**
   * Removes the lease: its events are delivered. They stay in the file until they are trimmed: 20 us of the write lock,
   * however many they are. False: the lease was lost to another publisher, which will deliver them again.
   */
  ack({ id, attempts }: Lease): boolean {
    return this.#file.transaction(() => this.#remove(id, attempts));
  }

  /**
   * Gives the lease back: any publisher may claim it from now on. False: it was lost before.
   *
   * @param wasReceived whether the destination may have the events of this attempt. Default: true
   */
  release(lease: Lease, wasReceived = true): boolean {
    const { id, attempts, sends } = lease;
    const run = () => this.#sql.expire.run(wasReceived ? sends : sends - 1, id, attempts);
    return this.#file.write(run).changes === 1;
  }

  /**
   * Makes the events above `lastId` a lease of their own, and gives both back. False: the lease was lost before.
   *
   * @param wasReceived as of {@link release}
   */
  split({ id, attempts, sends }: Lease, lastId: number, wasReceived = true): boolean {
    const nowMs = Date.now();
    const left = wasReceived ? sends : sends - 1;
    return this.#file.transaction(() => {
      if (this.#sql.copyUpper.run(lastId + 1, nowMs, nowMs, left, id, attempts).changes === 0) return false;
      this.#sql.cut.run(lastId, left, id, attempts);
      return true;
    });
  }

  /**
   * Ends the lease event by event; what is given back may be claimed at once, in as many leases as it has gaps.
   * Returns how many older dead letters were dropped to make room; undefined: the lease was lost before.
   */
  settle(lease: Lease, { dead, kept }: EventOutcomes): number | undefined {
    const { id, attempts, sends } = lease;
    const nowMs = Date.now();
    return this.#file.transaction(() => {
      const runs = runsOf(kept);
      for (const run of runs)
        this.#sql.copyPart.run(run.firstId, run.lastId, nowMs, nowMs, sends, id, attempts);
      if (!this.#remove(id, attempts, kept.length)) return undefined;
      let dropped = 0;
      for (const rejected of dead)
        dropped += this.#deadLetters.insert(rejected.id, { ...rejected, attempts });
      return dropped;
    });
  }

  /** Removes a lease that is ours still, and counts its events as settled. @param keptCount how many of them are not */
  #remove(id: number, attempts: number, keptCount = 0): boolean {
    const lease = this.#sql.remove.get(id, attempts);
    if (lease === undefined) return false;
    if (lease.isReplay === 0) this.#settled(lease.lastId - lease.firstId + 1 - keptCount);
    return true;
  }

  #settled(count: number): undefined {
    this.#sql.addSettled.run(count, this.#subscriptionId);
    this.#sql.settleQueue.run();
  }

  #insert({
    firstId,
    lastId,
    isReplay = false,
  }: IdBounds & { readonly isReplay?: boolean }): Lease | undefined {
    const nowMs = Date.now();
    const expiresAtMs = nowMs + this.#durationMs;
    return this.#sql.insert.get(
      this.#subscriptionId,
      firstId,
      lastId,
      nowMs,
      expiresAtMs,
      Number(isReplay),
      firstId,
      Number(isReplay),
    );
  }

  /** Up to where the events from `firstId` on may be replayed: those in a lease are sent anyway. */
  #endOfReplayable(firstId: number, lastId: number): number {
    const leased = this.#file.run(() => this.#sql.leaseIn.get(this.#subscriptionId, firstId, lastId));
    const end = leased === undefined ? lastId : leased.firstId - 1;
    return Math.min(end, this.#endOfMine(firstId, lastId));
  }

  /** Up to where the events from `firstId` on lie in one lease, or are another subscription's alone; below it: they do not. */
  #endOfUnreplayable(firstId: number): number {
    const leased = this.#file.run(() => this.#sql.leaseIn.get(this.#subscriptionId, firstId, firstId));
    return leased?.lastId ?? (this.#endOfMine(firstId, firstId) < firstId ? firstId : firstId - 1);
  }

  /** Where a range ends for this subscription: before an event that is another one's alone; below `firstId`, if that is the first. */
  #endOfMine(firstId: number, lastId: number): number {
    const otherId = this.#sql.others.get(firstId, lastId, this.#subscriptionId);
    return otherId == null ? lastId : otherId - 1;
  }
}

function prepareStatements(file: QueueFile, subscriptionId: number) {
  return { ...claimStatements(file, subscriptionId), ...readStatements(file), ...settleStatements(file) };
}

/**
 * The reads have the id of the subscription in their text: as a parameter, it makes SQLite compile a join or an ORDER BY
 * again each time (300 us instead of 15).
 */
function claimStatements(file: QueueFile, subscriptionId: number) {
  return {
    state: file.prepare<[number, number], ClaimState>(
      `SELECT subscription.claimed_id AS claimedId, replay_next_id AS replayNextId, paused_at_ms AS pausedAtMs,
         (SELECT min(id) FROM eventspool_event WHERE id > subscription.claimed_id) AS firstId,
         (SELECT max(id) FROM eventspool_event) AS newestId,
         (SELECT max(first_id) FROM eventspool_epoch) AS epochFirstId, leaseCount, expiredCount
       FROM eventspool_queue, eventspool_subscription AS subscription,
         (SELECT count(*) AS leaseCount, coalesce(sum${IS_EXPIRED}, 0) AS expiredCount
          FROM eventspool_lease WHERE subscription_id = ${subscriptionId})
       WHERE subscription.id = ${subscriptionId}`,
    ),
    firstAfter: file.prepareFirst<[number], number | null>(
      "SELECT min(id) FROM eventspool_event WHERE id > ?",
    ),
    sizesAfter: file.prepareFirst<[number], number>(
      "SELECT length(body) FROM eventspool_event WHERE id > ? ORDER BY id",
    ),
    sum: file.prepare<[number, number], { count: number; bytes: number; lastId: number }>(
      `SELECT count(*) AS count, coalesce(sum(length(body)), 0) AS bytes, coalesce(max(id), 0) AS lastId
       FROM eventspool_event WHERE id BETWEEN ? AND ?`,
    ),
    others: file.prepareFirst<[number, number, number], number | null>(
      "SELECT min(id) FROM eventspool_retried WHERE id BETWEEN ? AND ? AND subscription_id <> ?",
    ),
    moveCursor: file.prepare<[number, number, number]>(
      "UPDATE eventspool_subscription SET claimed_id = ? WHERE id = ? AND claimed_id = ?",
    ),
    noteClaimed: file.prepare<[number, number]>(
      "UPDATE eventspool_queue SET claimed_id = ? WHERE claimed_id < ?",
    ),
    // What this subscription may have sent before a seek, or one that had its name, is not sent for the first time.
    insert: file.prepare<[number, number, number, number, number, number, number, number], Lease>(
      `INSERT INTO eventspool_lease
         (subscription_id, first_id, last_id, claimed_at_ms, expires_at_ms, attempts, sends, is_replay)
       VALUES (?, ?, ?, ?, ?, 1, iif(? OR (SELECT sent_id FROM eventspool_subscription WHERE id = ${subscriptionId}) >= ?, 2, 1), ?) RETURNING ${COLUMNS}`,
    ),
    replay: file.prepare<[number], { nextId: number; lastId: number }>(
      `SELECT replay_next_id AS nextId, replay_last_id AS lastId FROM eventspool_subscription
       WHERE id = ? AND replay_next_id IS NOT NULL`,
    ),
    moveReplay: file.prepare<[number, number, number, number]>(
      `UPDATE eventspool_subscription SET replay_next_id = iif(? >= replay_last_id, NULL, ? + 1)
       WHERE id = ? AND replay_next_id = ?`,
    ),
    leaseIn: file.prepare<[number, number, number], IdBounds>(
      `SELECT first_id AS firstId, last_id AS lastId FROM eventspool_lease
       WHERE subscription_id = ? AND last_id >= ? AND first_id <= ? ORDER BY first_id LIMIT 1`,
    ),
    settledByOthers: file.prepareFirst<[number, number, number, number, number, number], number>(
      `SELECT coalesce(max(min(?, max(other.claimed_id, other.sent_id)) - ? + 1 -
           (SELECT coalesce(sum(min(last_id, ?) - max(first_id, ?) + 1), 0) FROM eventspool_lease
            WHERE subscription_id = other.id AND is_replay = 0 AND first_id <= ? AND last_id >= ?)), 0)
       FROM eventspool_subscription AS mine JOIN eventspool_subscription AS other USING (destination)
       WHERE mine.id = ${subscriptionId} AND other.id <> mine.id`,
    ),
    findExpired: file.prepareFirst<[number, number], number>(
      `SELECT id FROM eventspool_lease WHERE subscription_id = ${subscriptionId} AND ${IS_EXPIRED} ORDER BY first_id`,
    ),
    findFairly: file.prepareFirst<[number, number], number>(
      `SELECT id FROM eventspool_lease WHERE subscription_id = ${subscriptionId} AND ${IS_EXPIRED} ORDER BY attempts, first_id`,
    ),
    findOldestExpired: file.prepareFirst<[number, number], number>(
      `SELECT id FROM eventspool_lease AS lease WHERE subscription_id = ${subscriptionId} AND ${IS_EXPIRED}
         AND first_id = (SELECT min(first_id) FROM eventspool_lease WHERE subscription_id = lease.subscription_id)`,
    ),
    renew: file.prepare<[number, number, number, number, number], Lease>(
      `UPDATE eventspool_lease SET claimed_at_ms = ?, expires_at_ms = ?, attempts = attempts + 1, sends = sends + 1
       WHERE id = ? AND ${IS_EXPIRED} RETURNING ${COLUMNS}`,
    ),
    all: file.prepare<[number], LeaseInfo>(
      `SELECT ${COLUMNS}, claimed_at_ms AS claimedAtMs, expires_at_ms AS expiresAtMs
       FROM eventspool_lease WHERE subscription_id = ? ORDER BY first_id`,
    ),
  };
}

function readStatements(file: QueueFile) {
  return {
    join: file.prepare<[number, number], { count: number; joined: Uint8Array | null }>(
      `SELECT count(*) AS count, CAST(group_concat(body, ',') AS BLOB) AS joined
       FROM (SELECT body FROM eventspool_event WHERE id BETWEEN ? AND ? ORDER BY id)`,
    ),
    each: file.prepare<[number, number], { id: number; putAtMs: number; body: Uint8Array }>(
      `SELECT id, put_at_ms AS putAtMs, CAST(body AS BLOB) AS body FROM eventspool_event
       WHERE id BETWEEN ? AND ? ORDER BY id`,
    ),
    putTimes: file.prepareFirst<number[], number>(
      `SELECT put_at_ms FROM eventspool_event WHERE id IN (${"?, ".repeat(PUT_TIMES - 1)}?) ORDER BY id`,
    ),
    traces: file.prepareFirst<[number, number, number], string>(
      "SELECT DISTINCT trace FROM eventspool_event WHERE id BETWEEN ? AND ? AND trace IS NOT NULL LIMIT ?",
    ),
  };
}

/** The rest of a statement that makes a part of a lease a lease of its own, and gives it back. */
const FROM_MINE = `FROM eventspool_lease WHERE ${IS_MINE}`;
const PART = "(subscription_id, first_id, last_id, claimed_at_ms, expires_at_ms, attempts, sends, is_replay)";

function settleStatements(file: QueueFile) {
  return {
    remove: file.prepare<[number, number], IdBounds & { isReplay: number }>(
      `DELETE FROM eventspool_lease WHERE ${IS_MINE}
       RETURNING first_id AS firstId, last_id AS lastId, is_replay AS isReplay`,
    ),
    // Not by the time of day: if the clock was hours ahead, nobody could claim the lease for hours once it is set right.
    expire: file.prepare<[number, number, number]>(
      `UPDATE eventspool_lease SET expires_at_ms = claimed_at_ms, sends = ? WHERE ${IS_MINE}`,
    ),
    cut: file.prepare<[number, number, number, number]>(
      `UPDATE eventspool_lease SET last_id = ?, expires_at_ms = claimed_at_ms, sends = ? WHERE ${IS_MINE}`,
    ),
    copyUpper: file.prepare<[number, number, number, number, number, number]>(
      `INSERT INTO eventspool_lease ${PART}
       SELECT subscription_id, ?, last_id, ?, ?, attempts, ?, is_replay ${FROM_MINE}`,
    ),
    copyPart: file.prepare<[number, number, number, number, number, number, number]>(
      `INSERT INTO eventspool_lease ${PART}
       SELECT subscription_id, ?, ?, ?, ?, attempts, ?, is_replay ${FROM_MINE}`,
    ),
    addSettled: file.prepare<[number, number]>(
      "UPDATE eventspool_subscription SET settled_count = settled_count + ? WHERE id = ?",
    ),
    settleQueue: file.prepare<[]>(SETTLE_QUEUE),
  };
}

/**
 * Of how many events of a lease it is read when they were put. 16 cost 4 % of reading a full batch, and that is
 * a tenth of a publisher's work; all 1,500, sorted by age inside SQLite, 70 to 120 %.
 */
export const PUT_TIMES = 16;

/** Ids in ascending order as ranges without gaps. */
function runsOf(ids: readonly number[]): { firstId: number; lastId: number }[] {
  const runs: { firstId: number; lastId: number }[] = [];
  for (const id of ids) {
    const run = runs.at(-1);
    if (run?.lastId === id - 1) run.lastId = id;
    else runs.push({ firstId: id, lastId: id });
  }
  return runs;
}

/** Ids of a lease: all, or {@link PUT_TIMES} from the first to the last. Those of a small lease are repeated up to that number. */
function spreadIds({ firstId, lastId }: { firstId: number; lastId: number }): number[] {
  const step = (lastId - firstId) / (PUT_TIMES - 1);
  return Array.from({ length: PUT_TIMES }, (_, index) =>
    step < 1 ? Math.min(firstId + index, lastId) : Math.round(firstId + index * step),
  );
}
