import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { ConfigurationError } from "../../../src/errors.ts";
import { DeadLetterTable } from "../../../src/storage/dead_letters.ts";
import { EventTable } from "../../../src/storage/events.ts";
import { type Lease, LeaseTable } from "../../../src/storage/leases.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { type IdBounds, SubscriptionTable } from "../../../src/storage/subscriptions.ts";
import { Trimmer } from "../../../src/storage/trim.ts";
import { deadLetter } from "../../support/dead_letters.ts";
import fc from "../../support/fast_check.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const NAMES = ["default", "one", "two"] as const;
const EVENT_BYTES = 10;
const RETAINED_EVENTS = 7;
const REJECTION = { status: 422, response: "no" };

test("gives each subscription each event, counts exactly, and trims neither early nor never, in any order of operations", () => {
  const operation = fc.constantFrom<OperationName>(
    ...([
      "put",
      "put",
      "claim",
      "claim",
      "claim",
      "reclaim",
      "ack",
      "ack",
      "ack",
      "release",
      "split",
    ] as const),
    ...([
      "settle",
      "deadLetter",
      "retry",
      "expire",
      "trim",
      "trim",
      "replay",
      "claimReplay",
      "stopReplay",
    ] as const),
    ...(["add", "remove", "seek", "limit", "skip", "retain", "crash"] as const),
  );
  const step = fc.record({ operation, name: fc.constantFrom(...NAMES), pick: fc.nat(1_000) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: "max" }), (steps) => {
      using model = new Model();
      for (const { operation, name, pick } of steps) {
        model[operation](name, pick);
        model.check();
      }
      model.finish();
    }),
    { numRuns: 25 },
  );
});

type OperationName = Exclude<keyof Model, "check" | "finish" | typeof Symbol.dispose>;

interface Held {
  readonly name: string;
  readonly lease: Lease;
  readonly isReplay: boolean;
}

/** What a subscription should have. */
class Reader {
  /** Those that it must still get. */
  readonly unsettled = new Set<number>();
  /** Those of a replay that it must get again. */
  readonly replayed = new Set<number>();
  isRequired = true;
}

/** Does to a queue file what producers, publishers and operators do, and counts along. */
class Model implements Disposable {
  readonly #directory = temporaryDirectory();
  #file!: QueueFile;
  #events!: EventTable;
  #subscriptions!: SubscriptionTable;
  #trimmer!: Trimmer;
  #held: Held[] = [];
  readonly #readers = new Map<string, Reader>([["default", new Reader()]]);
  #newestId = 0;
  #isRetained = false;

  constructor() {
    this.#open();
  }

  put(_: string, pick: number): void {
    const count = (pick % 5) + 1;
    this.#events.putMany(Array.from({ length: count }, () => Buffer.alloc(EVENT_BYTES, "e")));
    for (let index = 0; index < count; index++) this.#isPut(this.#readers.values());
  }

  claim(name: string, pick: number): void {
    const leases = this.#leasesOf(name);
    if (leases === undefined) return;
    const cursor = leases.claimedId();
    const waiting = [...leases.sizesAfter(cursor)].length;
    if (waiting === 0) return;
    const foreign = this.#retriedIds(name);
    const lease = leases.claim(cursor, cursor + (pick % waiting) + 1);
    if (lease !== undefined) {
      this.#hold(name, lease, false);
      return;
    }
    assert.ok(foreign.has(cursor + 1), "only another subscription's event is skipped");
    this.#readers.get(name)!.unsettled.delete(cursor + 1);
  }

  reclaim(name: string): void {
    const leases = this.#leasesOf(name);
    const lease = leases?.claimExpired();
    if (lease === undefined) return;
    const isReplay = this.#count("SELECT is_replay FROM eventspool_lease WHERE id = ?", lease.id) === 1;
    this.#held = this.#held.filter((held) => held.lease.id !== lease.id); // those were lost
    this.#hold(name, lease, isReplay);
  }

  ack(_: string, pick: number): void {
    const held = this.#take(pick);
    if (held !== undefined && this.#leasesOf(held.name)?.ack(held.lease))
      this.#settled(held, idsOf(held.lease));
  }

  release(_: string, pick: number): void {
    const held = this.#take(pick);
    if (held !== undefined) this.#leasesOf(held.name)?.release(held.lease);
  }

  split(_: string, pick: number): void {
    const held = this.#take(pick);
    if (held !== undefined && held.lease.firstId < held.lease.lastId)
      this.#leasesOf(held.name)?.split(held.lease, held.lease.firstId);
  }

  settle(_: string, pick: number): void {
    const held = this.#take(pick);
    if (held === undefined) return;
    const ids = idsOf(held.lease);
    const kept = ids.filter((id) => (id + pick) % 3 === 0);
    const dead = ids.filter((id) => (id + pick) % 3 === 1).map((id) => ({ id, ...REJECTION }));
    if (this.#leasesOf(held.name)?.settle(held.lease, { dead, kept }) !== undefined)
      this.#settled(
        held,
        ids.filter((id) => !kept.includes(id)),
      );
  }

  deadLetter(_: string, pick: number): void {
    const held = this.#take(pick);
    const leases = held && this.#leasesOf(held.name);
    if (held !== undefined && leases !== undefined && deadLetter(leases, held.lease, REJECTION) !== undefined)
      this.#settled(held, idsOf(held.lease));
  }

  retry(name: string, pick: number): void {
    const reader = this.#readers.get(name);
    if (reader === undefined) return;
    const letters = new DeadLetterTable(this.#file, { subscription: name });
    const ids = letters.list({ limit: (pick % 3) + 1 }).map(({ id }) => id);
    assert.equal(letters.retry(ids, this.#events), ids.length);
    for (const _ of ids) this.#isPut(this.#readers.values(), name);
  }

  /** All leases run out; those still held are lost as soon as they are claimed again. */
  expire(): void {
    this.#file.db.exec("UPDATE eventspool_lease SET expires_at_ms = 0");
  }

  trim(_: string, pick: number): void {
    this.#trimmer.onIdle(pick % 2 === 0 ? 0 : 1_000);
  }

  replay(name: string, pick: number): void {
    const reader = this.#readers.get(name);
    if (reader === undefined || this.#subscriptions.get(name).replayLeft > 0) return;
    const firstId = (pick % (this.#newestId + 1)) + 1;
    const bounds = this.#subscriptions.replay(name, { firstId, lastId: firstId + (pick % 7) });
    if (bounds === undefined) return;
    for (const id of this.#rows(bounds.firstId, bounds.lastId))
      if (!reader.unsettled.has(id) && !this.#retriedIds(name).has(id)) reader.replayed.add(id);
  }

  claimReplay(name: string, pick: number): void {
    const leases = this.#leasesOf(name);
    const range = leases?.replayRange();
    if (leases === undefined || range === undefined) return;
    const lease = leases.claimReplay(range, Math.min(range.lastId, range.firstId + (pick % 4)));
    assert.ok(lease);
    assert.ok(lease.sends > 1, "it was sent before");
    this.#hold(name, lease, true);
  }

  stopReplay(name: string): void {
    if (!this.#readers.has(name)) return;
    this.#subscriptions.stopReplay(name);
    this.#readers.get(name)!.replayed.clear();
  }

  add(name: string, pick: number): void {
    const start = pick % 2 === 0 ? "now" : "oldest";
    const firstId =
      start === "now" ? this.#newestId + 1 : (this.#rows(1, this.#newestId)[0] ?? this.#newestId + 1);
    const kept = this.#keptRanges();
    if (!this.#subscriptions.add(name, { start })) return;
    const reader = new Reader();
    this.#startAt(reader, { name, firstId, kept });
    this.#readers.set(name, reader);
  }

  remove(name: string): void {
    if (!this.#readers.has(name)) return;
    if (this.#lastRequired(name)) {
      assert.throws(() => this.#subscriptions.remove(name), ConfigurationError);
      return;
    }
    this.#subscriptions.remove(name);
    this.#readers.delete(name);
    this.#leases.delete(name);
    this.#held = this.#held.filter((held) => held.name !== name);
  }

  seek(name: string, pick: number): void {
    const reader = this.#readers.get(name);
    if (reader === undefined) return;
    const kept = this.#keptRanges(name);
    const firstId = this.#subscriptions.seek(name, (pick % (this.#newestId + 2)) + 1);
    reader.unsettled.clear();
    this.#startAt(reader, { name, firstId, kept });
  }

  limit(name: string, pick: number): void {
    const reader = this.#readers.get(name);
    if (reader === undefined) return;
    const isRequired = pick % 2 === 0;
    const set = (): void => this.#subscriptions.setLagLimit(name, isRequired ? {} : { maxEvents: 5 });
    if (!isRequired && this.#lastRequired(name)) {
      assert.throws(set, ConfigurationError);
      return;
    }
    set();
    reader.isRequired = isRequired;
  }

  skip(): void {
    const before = new Map(this.#subscriptions.list().map(({ name, depth }) => [name, depth]));
    const skipped = new Map(
      this.#subscriptions.skipLagging().map(({ subscription, count }) => [subscription, count]),
    );
    for (const [name, reader] of this.#readers) {
      const count = skipped.get(name) ?? 0;
      assert.equal(this.#subscriptions.get(name).depth, before.get(name)! - count);
      if (count === 0) continue;
      assert.ok(!reader.isRequired);
      for (const id of reader.unsettled)
        if (id <= this.#newestId - 5 && !this.#isLeased(name, id)) reader.unsettled.delete(id);
    }
  }

  retain(_: string, pick: number): void {
    this.#isRetained = pick % 2 === 0;
    this.#events.setRetention(this.#isRetained ? { maxBytes: RETAINED_EVENTS * EVENT_BYTES } : {});
  }

  crash(): void {
    this.#file.close();
    this.#held = [];
    this.#open();
    this.expire();
  }

  check(): void {
    const { depth, subscriptions, newestId } = this.#events.state();
    assert.equal(newestId, this.#newestId);
    assert.deepEqual(subscriptions.map(({ name }) => name).sort(), [...this.#readers.keys()].sort());
    for (const { name, depth, claimedId } of subscriptions) {
      const { unsettled, replayed } = this.#readers.get(name)!;
      assert.equal(depth, unsettled.size, `the depth of ${name}`);
      const leased = this.#leasesOf(name)!
        .all()
        .filter(({ id }) => this.#isNoReplay(id))
        .flatMap(idsOf);
      assert.deepEqual(
        leased.sort((a, b) => a - b),
        [...unsettled].filter((id) => id <= claimedId).sort((a, b) => a - b),
        `each claimed event of ${name} is in one lease`,
      );
      const rows = new Set(this.#rows(1, newestId));
      for (const id of [...unsettled, ...replayed])
        assert.ok(
          rows.has(id) || this.#wasHole.has(id),
          `event ${id}, which ${name} has yet to get, was trimmed`,
        );
    }
    const required = [...this.#readers.values()].filter(({ isRequired }) => isRequired);
    assert.equal(depth, Math.max(...required.map(({ unsettled }) => unsettled.size)));
  }

  /** All subscriptions get what they have yet to get; then nothing is left in the file but what is retained. */
  finish(): void {
    this.expire();
    for (const name of this.#readers.keys()) {
      for (let at = 0; ; at++) {
        assert.ok(at < 10_000, `${name} does not come to an end`);
        this.reclaim(name);
        this.claimReplay(name, 3);
        this.claim(name, 6);
        if (this.#held.length === 0 && this.#isDone(name)) break;
        while (this.#held.length > 0) this.ack(name, 0);
      }
      assert.deepEqual([...this.#readers.get(name)!.unsettled, ...this.#readers.get(name)!.replayed], []);
      assert.equal(this.#subscriptions.get(name).replayLeft, 0);
    }
    for (let at = 0; this.#trimmer.onIdle(1_000); at++)
      assert.ok(at < 1_000, "trimming does not come to an end");
    const left = this.#count("SELECT count(*) FROM eventspool_event");
    if (this.#isRetained) assert.ok(left <= RETAINED_EVENTS, `${left} events are retained`);
    else assert.equal(left, 0);
    assert.equal(this.#events.state().retainedBytes, this.#isRetained ? left * EVENT_BYTES : 0);
    if (left === 0) assert.equal(this.#count("SELECT count(*) FROM eventspool_retried"), 0);
    this.put("default", 1);
    this.check();
  }

  [Symbol.dispose](): void {
    this.#file.close();
    this.#directory[Symbol.dispose]();
  }

  /** Ids without rows between two events that nothing kept, when a subscription was added or moved to before them. */
  readonly #wasHole = new Set<number>();

  #startAt(
    reader: Reader,
    { name, firstId, kept }: { name: string; firstId: number; kept: IdBounds[] },
  ): void {
    const rows = this.#rows(firstId, this.#newestId);
    const isKept = (id: number): boolean => kept.some((range) => range.firstId <= id && id <= range.lastId);
    const ends = [...rows, this.#newestId + 1];
    const gaps = ends
      .map((id, index) => ({ firstId: (rows[index - 1] ?? firstId - 1) + 1, lastId: id - 1 }))
      .filter((gap) => gap.firstId <= gap.lastId);
    const known = gaps.filter(
      (gap) => gap.lastId === this.#newestId || isKept(gap.firstId - 1) || isKept(gap.lastId + 1),
    );
    const lastGap = known.at(-1)?.firstId ?? 0;
    const others = this.#retriedIds(name);
    for (const id of rows) if (id > lastGap || !others.has(id)) reader.unsettled.add(id);
    for (const gap of gaps.filter((gap) => !known.includes(gap)))
      for (const id of idsOf(gap)) {
        reader.unsettled.add(id);
        this.#wasHole.add(id);
      }
  }

  /** What leases and replays keep. @param name without the leases of this one, but for those of replays */
  #keptRanges(name?: string): IdBounds[] {
    const leases = [...this.#readers.keys()].flatMap((reader) =>
      this.#leasesOf(reader)!
        .all()
        .filter(({ id }) => reader !== name || !this.#isNoReplay(id)),
    );
    const replays = this.#file.db
      .prepare<[], IdBounds>(
        "SELECT replay_next_id AS firstId, replay_last_id AS lastId FROM eventspool_subscription WHERE replay_next_id > 0",
      )
      .all();
    return [...leases, ...replays];
  }

  #open(): void {
    this.#file = QueueFile.open(join(this.#directory.path, "events-main.db"), { role: "publisher" });
    this.#leases.clear();
    this.#events = new EventTable(this.#file);
    this.#subscriptions = new SubscriptionTable(this.#file);
    this.#trimmer = new Trimmer(this.#file);
  }

  #leasesOf(name: string): LeaseTable | undefined {
    if (!this.#readers.has(name)) return undefined;
    const known = this.#leases.get(name);
    if (known !== undefined) return known;
    const leases = new LeaseTable(this.#file, 60_000, { subscription: name });
    this.#leases.set(name, leases);
    return leases;
  }

  /** @param only the one subscription that gets it */
  #isPut(readers: Iterable<Reader>, only?: string): void {
    const id = ++this.#newestId;
    for (const reader of readers) reader.unsettled.add(id);
    if (only !== undefined && this.#readers.size > 1) this.#onlyOf.set(id, only);
  }

  /** Preparing their statements takes longer than what is done with them. */
  readonly #leases = new Map<string, LeaseTable>();

  readonly #onlyOf = new Map<number, string>();

  #retriedIds(name: string): Set<number> {
    return new Set([...this.#onlyOf].filter(([, only]) => only !== name).map(([id]) => id));
  }

  #hold(name: string, lease: Lease, isReplay: boolean): void {
    for (const id of idsOf(lease)) assert.ok(!this.#retriedIds(name).has(id), `${id} is another's alone`);
    this.#held.push({ name, lease, isReplay });
  }

  #take(pick: number): Held | undefined {
    return this.#held.splice(pick % Math.max(1, this.#held.length), 1)[0];
  }

  #settled({ name, isReplay }: Held, ids: readonly number[]): void {
    const reader = this.#readers.get(name)!;
    for (const id of ids) {
      reader.replayed.delete(id);
      if (!isReplay) reader.unsettled.delete(id);
    }
  }

  #isDone(name: string): boolean {
    const { unsettled, replayed } = this.#readers.get(name)!;
    return unsettled.size === 0 && replayed.size === 0 && this.#subscriptions.get(name).replayLeft === 0;
  }

  #lastRequired(name: string): boolean {
    return [...this.#readers].every(([other, { isRequired }]) => other === name || !isRequired);
  }

  #isNoReplay(leaseId: number): boolean {
    return this.#count("SELECT is_replay FROM eventspool_lease WHERE id = ?", leaseId) === 0;
  }

  #isLeased(name: string, id: number): boolean {
    return this.#leasesOf(name)!
      .all()
      .some((lease) => this.#isNoReplay(lease.id) && idsOf(lease).includes(id));
  }

  #rows(firstId: number, lastId: number): number[] {
    return this.#file.db
      .prepareFirst<[number, number], number>(
        "SELECT id FROM eventspool_event WHERE id BETWEEN ? AND ? ORDER BY id",
      )
      .all(firstId, lastId);
  }

  #count(sql: string, ...params: number[]): number {
    return this.#file.db.prepareFirst<number[], number>(sql).get(...params) as number;
  }
}

function idsOf({ firstId, lastId }: IdBounds): number[] {
  return Array.from({ length: lastId - firstId + 1 }, (_, index) => firstId + index);
}
