/**
 * Leases: which publisher has which range of events.
 *
 * Claiming moves a cursor and writes one row, never the events themselves: the write lock is held
 * 18 us a batch (an `UPDATE ... RETURNING` of each event: 860 us).
 *
 * @module
 */
import { setImmediate } from "node:timers/promises";
import { type DeadLetterBounds, type DeadLetterCause, DeadLetterTable } from "./dead_letters.ts";
import { EpochTable } from "./epochs.ts";
import type { QueueFile } from "./queue_file.ts";

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

/** What is done with each event of a lease; those that are named nowhere are delivered. */
export interface EventOutcomes {
  /** Those that become dead letters. */
  readonly dead: readonly ({ readonly id: number } & Pick<DeadLetterCause, "status" | "response">)[];
  /** The ids of those that are given back, in ascending order. */
  readonly kept: readonly number[];
}

/** Which of the leases that nobody holds may be claimed; by default any. */
export interface ReclaimOptions {
  /** Leases to leave alone, by their ids: those whose delivery is still on its way in this process. */
  readonly except?: { has(leaseId: number): boolean };
  /** Whether to claim the one lease with the oldest events or none, so that none overtakes them. */
  readonly oldestOnly?: boolean;
  /** Whether to claim the one with the fewest attempts, so that one that fails each time keeps no other waiting. */
  readonly fairly?: boolean;
}

/** How many events an ack deletes in one transaction while others write: 2,000 would hold the lock for 0.8 ms. */
const ACK_CHUNK_EVENTS = 250;

/** How many while nobody else does: a third cheaper, since each transaction writes pages of its own. */
const QUIET_ACK_CHUNK_EVENTS = 2_500;

/** How far in the future a claim may lie before it means that the clock was set back, in milliseconds. */
const CLOCK_SLACK_MS = 5_000;

const COLUMNS = "id, first_id AS firstId, last_id AS lastId, attempts, sends";
const IS_MINE = "id = ? AND attempts = ?";
const IS_EXPIRED = "(expires_at_ms <= ? OR claimed_at_ms > ?)";

/** Claims ranges of events for a publisher, and settles them. */
export class LeaseTable {
  /** Which UUIDs name the events. */
  readonly epochs: EpochTable;
  readonly #file: QueueFile;
  readonly #durationMs: number;
  readonly #deadLetters: DeadLetterTable;
  readonly #sql;
  #dataVersion: number | undefined;

  /** @param durationMs how long a claim holds unless it is settled, in milliseconds */
  constructor(file: QueueFile, durationMs: number, bounds?: DeadLetterBounds) {
    this.#file = file;
    this.#durationMs = durationMs;
    this.epochs = new EpochTable(file);
    this.#deadLetters = new DeadLetterTable(file, bounds);
    this.#sql = prepareStatements(file);
  }

  /** The cursor: the highest id ever claimed. */
  claimedId(): number {
    return this.#file.run(() => this.#sql.claimedId.get()) as number;
  }

  /** The first id above `id` that an event has: the next one, unless somebody deleted rows by hand. Undefined: there is none. */
  firstIdAfter(id: number): number | undefined {
    return this.#file.run(() => this.#sql.firstAfter.get(id)) ?? undefined;
  }

  /** Sizes in bytes of the events above `id`, in order, read without a lock. Finish or break off before the next call. */
  sizesAfter(id: number): IterableIterator<number> {
    return this.#sql.sizesAfter.iterate(id);
  }

  /** How many events lie between two ids, both included, how many bytes they have together, and the last one's id. */
  sum(firstId: number, lastId: number): { count: number; bytes: number; lastId: number } {
    return this.#file.run(() => this.#sql.sum.get(firstId, lastId)) as {
      count: number;
      bytes: number;
      lastId: number;
    };
  }

  /** Claims the events above the cursor up to `lastId`. Undefined: another publisher moved the cursor first. */
  claim(claimedId: number, lastId: number): Lease | undefined {
    const nowMs = Date.now();
    return this.#file.transaction(() => {
      if (this.#sql.moveCursor.run(lastId, claimedId).changes === 0) return undefined;
      return this.#sql.insert.get(claimedId + 1, lastId, nowMs, nowMs + this.#durationMs, 1, 1);
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

  /** All leases, held or not, by their first ids. */
  all(): LeaseInfo[] {
    return this.#file.run(() => this.#sql.all.all());
  }

  /** How many leases there are, held or not. */
  count(): number {
    return this.#file.run(() => this.#sql.count.get()) as number;
  }

  /** Reads a lease's events, joined inside SQLite (0.19 us an event; row by row and Buffer.concat 0.33). */
  read(lease: Lease): LeasedEvents {
    const row = this.#file.run(() => this.#sql.join.get(lease.firstId, lease.lastId));
    const putAtMs = this.#file.run(() => this.#sql.putTimes.all(...spreadIds(lease)));
    return { count: row?.count ?? 0, joined: row?.joined ?? new Uint8Array(), putAtMs };
  }

  /** Reads them one by one, in the order of their ids. */
  readEach({
    firstId,
    lastId,
  }: Lease): { readonly id: number; readonly putAtMs: number; readonly body: Uint8Array }[] {
    return this.#file.run(() => this.#sql.each.all(firstId, lastId));
  }

  /** Which spans have put a lease's events, as the column `trace` has them, each once, and at most `limit` of them. */
  traces({ firstId, lastId }: Lease, limit: number): string[] {
    return this.#file.run(() => this.#sql.traces.all(firstId, lastId, limit));
  }

  /**
   * Removes the lease and its events: they are delivered. Goes in chunks and lets others have the
   * lock in between. Where it throws, on a full disk say, calling it again goes on from there. False:
   * the lease was lost to another publisher, which will deliver the rest again.
   */
  async ack(lease: Lease): Promise<boolean> {
    const leftFromId = this.#file.run(() => this.#sql.firstId.get(lease.id, lease.attempts));
    if (leftFromId === undefined) return false;
    for (let firstId = leftFromId; firstId <= lease.lastId; ) {
      if (firstId > leftFromId) await setImmediate();
      const events = this.#othersWrote() ? ACK_CHUNK_EVENTS : QUIET_ACK_CHUNK_EVENTS;
      const lastId = Math.min(firstId + events - 1, lease.lastId);
      if (!this.#file.transaction(() => this.#ackUpTo(lease, firstId, lastId))) return false;
      firstId = lastId + 1;
    }
    return true;
  }

  /**
   * Gives the lease back: anyone may claim it from now on. False: it was lost before.
   *
   * @param wasReceived whether the destination may have the events of this attempt. Default: true
   */
  release(lease: Lease, wasReceived = true): boolean {
    const { id, attempts, sends } = lease;
    const run = () => this.#sql.expire.run(Date.now(), wasReceived ? sends : sends - 1, id, attempts);
    return this.#file.write(run).changes === 1;
  }

  /**
   * Makes the events above `lastId` a lease of their own, and gives both back. False: the lease was lost before.
   *
   * @param wasReceived as of {@link release}
   */
  split({ id, lastId: endId, attempts, sends }: Lease, lastId: number, wasReceived = true): boolean {
    const nowMs = Date.now();
    const left = wasReceived ? sends : sends - 1;
    return this.#file.transaction(() => {
      if (this.#sql.cut.run(lastId, nowMs, left, id, attempts).changes === 0) return false;
      this.#sql.insert.get(lastId + 1, endId, nowMs, nowMs, attempts, left);
      return true;
    });
  }

  /**
   * Moves the events of the lease to the dead letters. Returns how many older dead letters were dropped
   * to make room; undefined: the lease was lost before.
   */
  deadLetter(lease: Lease, rejection: Pick<DeadLetterCause, "status" | "response">): number | undefined {
    const { id, firstId, lastId, attempts } = lease;
    return this.#file.transaction(() => {
      if (this.#sql.remove.run(id, attempts).changes === 0) return undefined;
      const dropped = this.#deadLetters.insert(firstId, lastId, { ...rejection, attempts });
      this.#deleteEvents(firstId, lastId);
      return dropped;
    });
  }

  /**
   * Ends the lease event by event; what is given back may be claimed at once, in as many leases as it has gaps.
   * Returns how many older dead letters were dropped to make room; undefined: the lease was lost before.
   */
  settle(lease: Lease, { dead, kept }: EventOutcomes): number | undefined {
    const { id, firstId, lastId, attempts, sends } = lease;
    const nowMs = Date.now();
    return this.#file.transaction(() => {
      if (this.#sql.remove.run(id, attempts).changes === 0) return undefined;
      let dropped = 0;
      for (const { id, ...rejection } of dead)
        dropped += this.#deadLetters.insert(id, id, { ...rejection, attempts });
      let nextId = firstId;
      for (const run of runsOf(kept)) {
        this.#sql.insert.get(run.firstId, run.lastId, nowMs, nowMs, attempts, sends);
        if (nextId < run.firstId) this.#deleteEvents(nextId, run.firstId - 1);
        nextId = run.lastId + 1;
      }
      if (nextId <= lastId) this.#deleteEvents(nextId, lastId);
      return dropped;
    });
  }

  /** Whether another connection has committed since the last look; 2 us. */
  #othersWrote(): boolean {
    const version = this.#sql.dataVersion.get();
    const wrote = version !== this.#dataVersion;
    this.#dataVersion = version;
    return wrote;
  }

  #ackUpTo(lease: Lease, firstId: number, lastId: number): boolean {
    const settled =
      lastId === lease.lastId
        ? this.#sql.remove.run(lease.id, lease.attempts)
        : this.#sql.shrink.run(lastId + 1, lease.id, lease.attempts);
    if (settled.changes === 0) return false;
    this.#deleteEvents(firstId, lastId);
    return true;
  }

  #deleteEvents(firstId: number, lastId: number): void {
    this.#sql.deleteEvents.run(firstId, lastId);
    // By the range and not by the rows deleted: so the depth stays right when someone deleted a row by hand.
    this.#sql.addRemoved.run(lastId - firstId + 1);
  }
}

function prepareStatements(file: QueueFile) {
  return { ...claimStatements(file), ...readStatements(file), ...settleStatements(file) };
}

function claimStatements(file: QueueFile) {
  return {
    claimedId: file.prepareFirst<[], number>("SELECT claimed_id FROM eventspool_queue WHERE one = 1"),
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
    moveCursor: file.prepare<[number, number]>(
      "UPDATE eventspool_queue SET claimed_id = ? WHERE one = 1 AND claimed_id = ?",
    ),
    insert: file.prepare<[number, number, number, number, number, number], Lease>(
      `INSERT INTO eventspool_lease (first_id, last_id, claimed_at_ms, expires_at_ms, attempts, sends)
       VALUES (?, ?, ?, ?, ?, ?) RETURNING ${COLUMNS}`,
    ),
    findExpired: file.prepareFirst<[number, number], number>(
      `SELECT id FROM eventspool_lease WHERE ${IS_EXPIRED} ORDER BY first_id`,
    ),
    findFairly: file.prepareFirst<[number, number], number>(
      `SELECT id FROM eventspool_lease WHERE ${IS_EXPIRED} ORDER BY attempts, first_id`,
    ),
    findOldestExpired: file.prepareFirst<[number, number], number>(
      `SELECT id FROM eventspool_lease WHERE ${IS_EXPIRED} AND first_id = (SELECT min(first_id) FROM eventspool_lease)`,
    ),
    renew: file.prepare<[number, number, number, number, number], Lease>(
      `UPDATE eventspool_lease SET claimed_at_ms = ?, expires_at_ms = ?, attempts = attempts + 1, sends = sends + 1
       WHERE id = ? AND ${IS_EXPIRED} RETURNING ${COLUMNS}`,
    ),
    all: file.prepare<[], LeaseInfo>(
      `SELECT ${COLUMNS}, claimed_at_ms AS claimedAtMs, expires_at_ms AS expiresAtMs FROM eventspool_lease ORDER BY first_id`,
    ),
    count: file.prepareFirst<[], number>("SELECT count(*) FROM eventspool_lease"),
  };
}

function readStatements(file: QueueFile) {
  return {
    join: file.prepare<[number, number], { count: number; joined: Uint8Array | null }>(
      `SELECT count(*) AS count, CAST(group_concat(body, ',') AS BLOB) AS joined
       FROM (SELECT body FROM eventspool_event WHERE id BETWEEN ? AND ? ORDER BY id)`,
    ),
    each: file.prepare<[number, number], { id: number; putAtMs: number; body: Uint8Array }>(
      "SELECT id, put_at_ms AS putAtMs, CAST(body AS BLOB) AS body FROM eventspool_event WHERE id BETWEEN ? AND ? ORDER BY id",
    ),
    putTimes: file.prepareFirst<number[], number>(
      `SELECT put_at_ms FROM eventspool_event WHERE id IN (${"?, ".repeat(PUT_TIMES - 1)}?) ORDER BY id`,
    ),
    traces: file.prepareFirst<[number, number, number], string>(
      "SELECT DISTINCT trace FROM eventspool_event WHERE id BETWEEN ? AND ? AND trace IS NOT NULL LIMIT ?",
    ),
  };
}

function settleStatements(file: QueueFile) {
  return {
    dataVersion: file.prepareFirst<[], number>("PRAGMA data_version"),
    firstId: file.prepareFirst<[number, number], number>(
      `SELECT first_id FROM eventspool_lease WHERE ${IS_MINE}`,
    ),
    remove: file.prepare<[number, number]>(`DELETE FROM eventspool_lease WHERE ${IS_MINE}`),
    shrink: file.prepare<[number, number, number]>(
      `UPDATE eventspool_lease SET first_id = ? WHERE ${IS_MINE}`,
    ),
    expire: file.prepare<[number, number, number, number]>(
      `UPDATE eventspool_lease SET expires_at_ms = ?, sends = ? WHERE ${IS_MINE}`,
    ),
    cut: file.prepare<[number, number, number, number, number]>(
      `UPDATE eventspool_lease SET last_id = ?, expires_at_ms = ?, sends = ? WHERE ${IS_MINE}`,
    ),
    deleteEvents: file.prepare<[number, number]>("DELETE FROM eventspool_event WHERE id BETWEEN ? AND ?"),
    addRemoved: file.prepare<[number]>(
      "UPDATE eventspool_queue SET removed_count = removed_count + ? WHERE one = 1",
    ),
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
