/**
 * What must hold after each commit to a queue file, by any process. Only what changed since the commit before is checked.
 */
import assert from "node:assert/strict";
import type { QueueFile } from "../../../src/storage/queue_file.ts";
import type { NumberedEvent, SimulatedCollector } from "./simulated_collector.ts";
import type { Actor } from "./simulated_time.ts";

/** How far in the future a claim may lie: then the clock was set back, and the lease is nobody's. */
const CLOCK_SLACK_MS = 5_000;

interface QueueRow {
  readonly newestId: number;
  readonly events: number;
  readonly settledCount: number;
  readonly isPaused: number;
  readonly retentionMs: number | null;
  readonly retentionBytes: number | null;
}

interface SubscriptionRow {
  readonly id: number;
  readonly claimedId: number;
  readonly settledCount: number;
  readonly lagLimit: number | null;
  readonly skipped: number;
  readonly replayNextId: number | null;
  readonly replayLastId: number | null;
  readonly deadLetters: number;
}

interface LeaseRow {
  readonly id: number;
  readonly subscriptionId: number;
  readonly firstId: number;
  readonly lastId: number;
  readonly claimedAtMs: number;
  readonly expiresAtMs: number;
  readonly attempts: number;
  readonly isReplay: number;
}

interface Snapshot {
  readonly queue: QueueRow;
  readonly subscriptions: ReadonlyMap<number, SubscriptionRow>;
  readonly leases: ReadonlyMap<number, LeaseRow>;
}

/** An event of the queue, by its id. */
export interface PutEvent extends NumberedEvent {
  readonly putAtMs: number;
  readonly bytes: number;
  /** The only subscription that it is for: it was a dead letter there. Undefined: all. */
  readonly onlyFor?: number | undefined;
}

/** Limits of a queue's publishers. */
export interface InvariantLimits {
  readonly leaseMs: number;
  readonly maxDeadLetters: number;
}

/** Watches one queue file. */
export class Invariants {
  /** All events that were ever put. */
  readonly events: Map<number, PutEvent> = new Map();
  /** Where each subscription sends, by its number. */
  readonly collectors: Map<number, SimulatedCollector> = new Map();
  /** How often a lease was claimed that its publisher had not given back. */
  takenOver: number = 0;
  trimmed: number = 0;
  skipped: number = 0;
  readonly #limits: InvariantLimits;
  readonly #holders = new Map<number, Actor | undefined>();
  readonly #present = new Set<number>();
  readonly #sql;
  #version: number | undefined;
  #snapshot: Snapshot;

  constructor(file: QueueFile, limits: InvariantLimits) {
    this.#limits = limits;
    this.#sql = prepareStatements(file);
    this.#snapshot = this.#read();
  }

  /** The highest id that the queue has assigned. */
  get newestId(): number {
    return this.#snapshot.queue.newestId;
  }

  /** How many events a subscription has not settled. */
  depthOf(subscriptionId: number): number {
    const { queue, subscriptions } = this.#snapshot;
    const row = subscriptions.get(subscriptionId);
    return row === undefined ? 0 : queue.newestId - row.settledCount;
  }

  /** Whether a lease of a subscription has an event. */
  isLeased(id: number, subscriptionId: number): boolean {
    const { leases } = this.#snapshot;
    return [...leases.values()].some(
      (lease) => lease.subscriptionId === subscriptionId && lease.firstId <= id && id <= lease.lastId,
    );
  }

  get isPaused(): boolean {
    return this.#snapshot.queue.isPaused === 1;
  }

  /** When the next lease expires that is held, in Unix milliseconds; Infinity: there is none. */
  nextExpiryMs(nowMs: number): number {
    let next = Number.POSITIVE_INFINITY;
    for (const lease of this.#snapshot.leases.values())
      if (!isFree(lease, nowMs)) next = Math.min(next, lease.expiresAtMs);
    return next;
  }

  /** Notes what a service has put, or an operator has put back. */
  put(id: number, event: PutEvent): void {
    this.events.set(id, event);
    this.#present.add(id);
  }

  /** Takes what the file says as given: an operator has moved a subscription. */
  rebase(): void {
    this.#version = this.#sql.dataVersion.get();
    this.#snapshot = this.#read();
    this.#checkCounts(this.#snapshot);
  }

  /** Checks what was committed since the last call, all of it by one actor. Returns whether something was. */
  check(actor: Actor | undefined): boolean {
    const version = this.#sql.dataVersion.get();
    if (version === this.#version) return false;
    this.#version = version;
    const [before, now] = [this.#snapshot, this.#read()];
    this.#snapshot = now;
    this.#checkCounts(now);
    for (const row of now.subscriptions.values()) {
      const old = before.subscriptions.get(row.id);
      if (old !== undefined) this.#checkSubscription({ old, row, before, now, actor });
    }
    if (now.queue.events !== this.#present.size) this.#checkTrimmed(now);
    return true;
  }

  #read(): Snapshot {
    return {
      queue: this.#sql.queue.get() as QueueRow,
      subscriptions: byId(this.#sql.subscriptions.all()),
      leases: byId(this.#sql.leases.all()),
    };
  }

  /** The depth is exact: what is counted as settled is what lies before the cursor and in no lease. */
  #checkCounts({ queue, subscriptions, leases }: Snapshot): void {
    assert.equal(queue.newestId, this.events.size, "each event has an id, in the order of the puts");
    for (const { id, claimedId, settledCount, deadLetters } of subscriptions.values()) {
      let leased = 0;
      let endId = 0;
      for (const lease of leases.values()) {
        if (lease.subscriptionId !== id || lease.isReplay === 1) continue;
        assert.ok(lease.firstId > endId && lease.lastId <= claimedId, `lease ${show(lease)} overlaps`);
        endId = lease.lastId;
        leased += lengthOf(lease);
      }
      assert.equal(claimedId - settledCount, leased, `what subscription ${id} has settled is counted`);
      assert.ok(deadLetters <= this.#limits.maxDeadLetters, `${deadLetters} dead letters are kept`);
    }
    const required = [...subscriptions.values()].filter(({ lagLimit }) => lagLimit === null);
    const lowest = Math.min(...required.map(({ settledCount }) => settledCount));
    assert.equal(queue.settledCount, lowest, "the depth is that of the subscription with most before it");
  }

  #checkSubscription(change: Change): void {
    const { old, row, before, now, actor } = change;
    const leases = leasesOf(now, row);
    for (const lease of leases) this.#checkLease(lease, change);
    const undone = [{ firstId: old.claimedId + 1, lastId: row.claimedId }];
    for (const lease of leasesOf(before, row)) {
      const left = now.leases.get(lease.id);
      if (left === undefined) this.#checkSettledBy(lease, change);
      if (lease.isReplay === 0 && left?.lastId !== lease.lastId) undone.push(lease);
    }
    let skipped = row.skipped - old.skipped;
    this.skipped += skipped;
    for (const id of settledOf(undone, leases)) {
      if (this.#isDone(id, row)) continue;
      const maySkip = row.lagLimit !== null && id <= now.queue.newestId - row.lagLimit;
      assert.ok(maySkip && skipped-- > 0, `${name(actor)} settled event ${id} of ${row.id}, which is lost`);
    }
  }

  /** Whether an event needs no delivery any more. */
  #isDone(id: number, { id: subscriptionId }: SubscriptionRow): boolean {
    const { onlyFor = subscriptionId } = this.events.get(id)!;
    const collector = this.collectors.get(subscriptionId)!;
    if (onlyFor !== subscriptionId || collector.arrived.has(id)) return true;
    return collector.rejected.has(id) && this.#sql.isDead.get(subscriptionId, id) === 1;
  }

  /** A claim needs a lease that is free; everything else its holder. */
  #checkLease(lease: LeaseRow, { old: { claimedId }, before, now, actor }: Change): void {
    const old = before.leases.get(lease.id);
    if (old !== undefined && same(old, lease)) return;
    const isShort = lease.expiresAtMs <= lease.claimedAtMs + this.#limits.leaseMs;
    assert.ok(isShort, `lease ${show(lease)} is too long`);
    const parent = old ?? [...before.leases.values()].find((other) => contains(other, lease));
    const isClaimed = lease.attempts > (parent?.attempts ?? 0);
    assert.ok(!isClaimed || now.queue.isPaused === 0, `${name(actor)} claims while the queue is paused`);
    if (parent === undefined) {
      assert.ok(lease.isReplay === 1 || lease.firstId > claimedId, `event ${lease.firstId} is claimed again`);
    } else if (isClaimed || isClaimedAgain(parent, now)) this.#checkMayClaim(parent, actor);
    else this.#checkHolder(parent, actor);
    if (isClaimed) this.#holders.set(lease.id, actor);
  }

  #checkMayClaim(lease: LeaseRow, actor: Actor | undefined): void {
    if (this.#holders.get(lease.id) === actor) return; // it may have given the lease back just before
    assert.ok(isFree(lease, Date.now()), `${name(actor)} claims ${show(lease)}, which is held`);
    if (lease.expiresAtMs !== lease.claimedAtMs) this.takenOver++;
  }

  #checkSettledBy(lease: LeaseRow, { row, actor, old, now }: Change): void {
    const isSkipped =
      row.skipped > old.skipped && lease.lastId <= now.queue.newestId - (row.lagLimit ?? now.queue.newestId);
    if (!isSkipped) this.#checkHolder(lease, actor);
    this.#holders.delete(lease.id);
  }

  #checkHolder(lease: LeaseRow, actor: Actor | undefined): void {
    const holder = this.#holders.get(lease.id);
    const problem = `${name(actor)} settles ${show(lease)}, which ${name(holder)} holds`;
    assert.ok(holder === undefined || holder === actor, problem);
  }

  /** Nothing goes that somebody still needs, or that is retained. */
  #checkTrimmed({ queue, subscriptions, leases }: Snapshot): void {
    const ids = new Set(this.#sql.eventIds.all());
    const gone = [...this.#present].filter((id) => !ids.has(id));
    assert.equal(ids.size + gone.length, this.#present.size, "no event comes back");
    for (const id of gone) {
      this.trimmed++;
      this.#present.delete(id);
      for (const { id: subscription, claimedId, replayNextId, replayLastId } of subscriptions.values()) {
        assert.ok(id <= claimedId, `event ${id} is trimmed before subscription ${subscription} claims it`);
        const isReplayed = replayNextId !== null && id >= replayNextId && id <= (replayLastId ?? 0);
        assert.ok(!isReplayed, `event ${id} is trimmed before its replay`);
      }
      for (const lease of leases.values())
        assert.ok(id < lease.firstId || id > lease.lastId, `event ${id} of ${show(lease)} is trimmed`);
      this.#checkRetention(id, queue);
    }
  }

  #checkRetention(id: number, { retentionMs, retentionBytes }: QueueRow): void {
    if (retentionMs === null && retentionBytes === null) return;
    const { putAtMs } = this.events.get(id)!;
    if (retentionMs !== null && putAtMs <= Date.now() - retentionMs) return;
    assert.ok(retentionBytes !== null, `event ${id} is trimmed ${Date.now() - putAtMs} ms after its put`);
    let bytes = 0;
    for (const kept of this.#present) bytes += this.events.get(kept)!.bytes;
    assert.ok(bytes + this.events.get(id)!.bytes >= retentionBytes, `only ${bytes} bytes are retained`);
  }
}

interface Change {
  readonly old: SubscriptionRow;
  readonly row: SubscriptionRow;
  readonly before: Snapshot;
  readonly now: Snapshot;
  readonly actor: Actor | undefined;
}

function leasesOf({ leases }: Snapshot, { id }: SubscriptionRow): LeaseRow[] {
  return [...leases.values()].filter(({ subscriptionId }) => subscriptionId === id);
}

/** The ids in ranges of events that were to be delivered, of which no lease has any more. */
function* settledOf(
  ranges: readonly { readonly firstId: number; readonly lastId: number }[],
  leases: readonly LeaseRow[],
): Generator<number> {
  const isLeased = (id: number) =>
    leases.some(({ isReplay, firstId, lastId }) => isReplay === 0 && firstId <= id && id <= lastId);
  for (const { firstId, lastId } of ranges)
    for (let id = firstId; id <= lastId; id++) if (!isLeased(id)) yield id;
}

/** Whether a lease was claimed once more since. */
function isClaimedAgain({ id, attempts }: LeaseRow, now: Snapshot): boolean {
  return (now.leases.get(id)?.attempts ?? 0) > attempts;
}

function byId<T extends { readonly id: number }>(rows: readonly T[]): Map<number, T> {
  return new Map(rows.map((row) => [row.id, row]));
}

function same(one: LeaseRow, other: LeaseRow): boolean {
  return (
    one.attempts === other.attempts &&
    one.expiresAtMs === other.expiresAtMs &&
    one.firstId === other.firstId &&
    one.lastId === other.lastId
  );
}

function contains(outer: LeaseRow, inner: LeaseRow): boolean {
  return (
    outer.subscriptionId === inner.subscriptionId &&
    outer.isReplay === inner.isReplay &&
    outer.firstId <= inner.firstId &&
    inner.lastId <= outer.lastId
  );
}

/** Whether any publisher may claim a lease. */
function isFree({ expiresAtMs, claimedAtMs }: LeaseRow, nowMs: number): boolean {
  return expiresAtMs <= nowMs || claimedAtMs > nowMs + CLOCK_SLACK_MS;
}

function lengthOf({ firstId, lastId }: LeaseRow): number {
  return lastId - firstId + 1;
}

function show({ id, firstId, lastId, attempts }: LeaseRow): string {
  return `${id} (${firstId}-${lastId}, ${attempts} attempts)`;
}

function name(actor: Actor | undefined): string {
  return actor?.name ?? "nobody";
}

function prepareStatements(file: QueueFile) {
  return {
    dataVersion: file.db.prepareFirst<[], number>("PRAGMA data_version"),
    queue: file.prepare<[], QueueRow>(
      `SELECT max(coalesce((SELECT max(id) FROM eventspool_event), 0), claimed_id) AS newestId,
         (SELECT count(*) FROM eventspool_event) AS events, settled_count AS settledCount,
         paused_at_ms IS NOT NULL AS isPaused, retention_ms AS retentionMs, retention_bytes AS retentionBytes
       FROM eventspool_queue`,
    ),
    subscriptions: file.prepare<[], SubscriptionRow>(
      `SELECT id, claimed_id AS claimedId, settled_count AS settledCount, lag_limit_events AS lagLimit,
         skipped_count AS skipped, replay_next_id AS replayNextId, replay_last_id AS replayLastId,
         dead_letter_count AS deadLetters FROM eventspool_subscription`,
    ),
    leases: file.prepare<[], LeaseRow>(
      `SELECT id, subscription_id AS subscriptionId, first_id AS firstId, last_id AS lastId,
         claimed_at_ms AS claimedAtMs, expires_at_ms AS expiresAtMs, attempts, is_replay AS isReplay
       FROM eventspool_lease ORDER BY first_id`,
    ),
    isDead: file.prepareFirst<[number, number], number>(
      "SELECT 1 FROM eventspool_dead_letter WHERE subscription_id = ? AND id = ?",
    ),
    eventIds: file.prepareFirst<[], number>("SELECT id FROM eventspool_event"),
  };
}
