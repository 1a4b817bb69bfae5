import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { EventStorageError } from "../../../src/errors.ts";
import { DamagedFile } from "../../../src/storage/damaged_file.ts";
import { DeadLetterTable } from "../../../src/storage/dead_letters.ts";
import { EpochTable } from "../../../src/storage/epochs.ts";
import { EventTable } from "../../../src/storage/events.ts";
import { LeaseTable } from "../../../src/storage/leases.ts";
import { Pause } from "../../../src/storage/pause.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { type Salvaged, salvage } from "../../../src/storage/salvage.ts";
import { SubscriptionTable } from "../../../src/storage/subscriptions.ts";
import { deadLetter } from "../../support/dead_letters.ts";
import fc from "../../support/fast_check.ts";
import { type TestQueue, testQueue } from "../../support/queue_file.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const PAGE_BYTES = 4_096;
const EVENTS = 500;

/** By hand more: `RUNS=2000`. */
const RUNS = Number(process.env.RUNS ?? 20);

/** A file of events that each fit into a page. */
const SMALL: Buffer = fileOf(EVENTS, () => "x".repeat(60));

test("saves all events of a sound file with their ids, also those that are in the -wal alone", () => {
  using queue = testQueue();
  // SQLite gives pages of their own to what exceeds 4,061 bytes, and decides by its size how much of it.
  const largeBytes = (n: number): number => (n % 50 === 0 ? 16_400 : 3_900 + 6 * n); // 16,400: a varint of three bytes
  putEvents(queue, 500, (n) => "y".repeat(n % 4 === 0 ? largeBytes(n) : 10));
  using saved = salvaged(queue.file.path);
  assert.deepEqual(saved.ids(), idsFrom(1, 500));
  assert.deepEqual(
    { ...saved.found, pages: undefined },
    {
      waiting: 500,
      deadLetters: 0,
      missing: [],
      knowsDelivered: true,
      repeats: [],
      knowsSubscriptions: true,
      knowsSettings: true,
      knowsNames: true,
      pages: undefined,
    },
  );
});

test("saves each event whose page is whole, whatever happens to the others, in a sound new queue", () => {
  const pagesOf = idsByPage(SMALL);
  const damage = fc.record({
    page: fc.integer({ min: 1, max: SMALL.length / PAGE_BYTES }),
    kind: fc.constantFrom(...Object.keys(DAMAGES)),
    at: fc.nat(PAGE_BYTES - 1),
  });
  const cut = fc.option(fc.integer({ min: 2, max: SMALL.length / PAGE_BYTES }));
  fc.assert(
    fc.property(fc.array(damage, { maxLength: 12 }), cut, (damages, cutPage) => {
      const lastPage = cutPage ?? SMALL.length / PAGE_BYTES;
      const bytes = Buffer.from(SMALL.subarray(0, lastPage * PAGE_BYTES));
      for (const { page, kind, at } of damages)
        DAMAGES[kind]!(bytes.subarray((page - 1) * PAGE_BYTES, page * PAGE_BYTES), at);
      const isWhole = (page: number): boolean =>
        page <= lastPage && !damages.some((one) => one.page === page);
      const expected = [...pagesOf].flatMap(([page, ids]) => (isWhole(page) ? ids : []));
      if (expected.length === 0) return;
      using saved = salvagedBytes(bytes);
      const ids = saved.ids();
      assert.deepEqual(
        expected.filter((id) => !ids.includes(id)),
        [],
      );
      assert.equal(saved.file.db.pragma("integrity_check"), "ok");
      assert.equal(saved.events.depth(), ids.length);
      assert.deepEqual(saved.claimable(), ids);
    }),
    { numRuns: RUNS },
  );
});

/** What may happen to a page; one that is not there any more is empty. */
const DAMAGES: Readonly<Record<string, (page: Buffer, at: number) => void>> = {
  zeros: (page) => page.fill(0),
  "zeros from some byte on": (page, at) => page.fill(0, Math.min(at, page.length)),
  noise: (page, at) => page.fill(Buffer.from(`${at} is noise, of which no page is made`)),
  "a flipped bit": (page, at) => at < page.length && page.writeUInt8(page[at]! ^ 4, at),
};

test("names the ids that are missing", () => {
  const [number, ids] = [...idsByPage(SMALL)][3]!;
  const bytes = Buffer.from(SMALL);
  bytes.fill(0, (number - 1) * PAGE_BYTES, number * PAGE_BYTES);
  using saved = salvagedBytes(bytes);
  assert.deepEqual(saved.found.missing, [{ firstId: ids[0], lastId: ids.at(-1) }]);
});

test("takes all events to wait when the file does not say any more what was delivered", () => {
  const bytes = Buffer.from(SMALL);
  bytes.fill(0, 0, PAGE_BYTES); // where each table begins
  using saved = salvagedBytes(bytes);
  const { missing: _missing, pages: _pages, ...found } = saved.found;
  assert.deepEqual(found, {
    waiting: EVENTS,
    deadLetters: 0,
    knowsDelivered: false,
    repeats: ["default"],
    knowsSubscriptions: false,
    knowsSettings: false,
    knowsNames: false,
  });
});

test("saves neither what was delivered nor what was purged, but what is on its way, and the dead letters", () => {
  using queue = testQueue();
  putEvents(queue, 30);
  const { leases, file } = queue;
  leases.ack(leases.claim(0, 10)!);
  leases.claim(10, 20);
  deadLetter(leases, leases.claim(20, 21)!, { status: 422, response: "no" });
  using saved = salvaged(file.path);
  assert.deepEqual(saved.ids(), [...idsFrom(11, 20), ...idsFrom(22, 30)]);
  assert.equal(saved.found.deadLetters, 1);
  assert.deepEqual(saved.found.missing, []);
  assert.equal(new EventTable(saved.file).state().deadLetters, 1);
});

test("brings no dead letter back from the pages of those that were purged", () => {
  using queue = testQueue();
  putEvents(queue, 100, () => "x".repeat(1_000));
  deadLetter(queue.leases, queue.leases.claim(0, 99)!, { status: 422, response: "no" });
  const letters = new DeadLetterTable(queue.file);
  letters.purge(letters.list({ limit: 98 }).map(({ id }) => id));
  using saved = salvaged(queue.file.path);
  assert.equal(saved.found.deadLetters, 1);
});

test("keeps the settings, a pause, what is retained, and the position of each subscription", () => {
  using queue = subscribed();
  using saved = salvaged(queue.file.path);
  assert.deepEqual(settingsOf(saved.file), settingsOf(queue.file));
  assert.deepEqual(saved.ids(), idsFrom(1, 31), "what is retained, too");
  assert.deepEqual(positionsOf(saved.file), {
    default: [...idsFrom(11, 20), ...idsFrom(22, 30)],
    audit: [...idsFrom(22, 31)],
    search: idsFrom(6, 30),
  });
});

test("keeps the position of each subscription that had no leases when the leases cannot be read, and names the others", () => {
  using queue = subscribed();
  using saved = salvagedBytes(withoutTable(queue, "eventspool_lease"));
  assert.deepEqual(saved.found.repeats, ["default"]);
  assert.deepEqual(positionsOf(saved.file), {
    default: idsFrom(1, 30),
    audit: idsFrom(22, 31),
    search: idsFrom(6, 30),
  });
});

test("says which settings and subscriptions it cannot keep, and still saves the events", () => {
  using queue = subscribed();
  {
    using saved = salvagedBytes(withoutTable(queue, "eventspool_queue"));
    assert.equal(saved.found.knowsSettings, false);
    assert.deepEqual(Object.keys(positionsOf(saved.file)), ["default", "audit", "search"]);
  }
  using saved = salvagedBytes(withoutTable(queue, "eventspool_subscription"));
  const { knowsSubscriptions, repeats, deadLetters } = saved.found;
  assert.deepEqual([knowsSubscriptions, repeats, deadLetters], [false, ["default"], 1]);
  assert.deepEqual(saved.ids(), idsFrom(1, 31));
  assert.equal(new EventTable(saved.file).state().deadLetters, 1);
});

/**
 * 30 events are retained or wait, and there is a pause. `default` has settled 10, 10 are on their way, and 21 is a dead
 * letter; `audit` has settled 21, and has event 31, once its dead letter, for itself; `search` is best-effort.
 */
function subscribed(): TestQueue {
  const queue = testQueue();
  const { leases, file, events } = queue;
  const subscriptions = new SubscriptionTable(file);
  subscriptions.add("audit");
  putEvents(queue, 30);
  subscriptions.add("search", { start: 6, limit: { maxEvents: 1_000 } });
  events.setRetention({ maxAgeMs: 3_600_000, maxBytes: 1_000_000 });
  events.setMaxEvents(77);
  new Pause(file).set(true);
  leases.ack(leases.claim(0, 10)!);
  leases.claim(10, 20);
  deadLetter(leases, leases.claim(20, 21)!, { status: 422, response: "no" });
  const audit = new LeaseTable(file, 60_000, { subscription: "audit" });
  audit.ack(audit.claim(0, 20)!);
  deadLetter(audit, audit.claim(20, 21)!, { status: 422, response: "no" });
  new DeadLetterTable(file, { subscription: "audit" }).retry([21], events);
  return queue;
}

/** The bytes of its file, with zeros where a table begins. */
function withoutTable({ file }: TestQueue, table: string): Buffer {
  file.db.pragma("wal_checkpoint(TRUNCATE)");
  const root = file
    .prepareFirst<[string], number>("SELECT rootpage FROM sqlite_schema WHERE name = ?")
    .get(table)!;
  return readFileSync(file.path).fill(0, (root - 1) * PAGE_BYTES, root * PAGE_BYTES);
}

function settingsOf(file: QueueFile): unknown {
  const read =
    "SELECT max_events, retention_ms, retention_bytes, paused_at_ms, batch_version FROM eventspool_queue";
  const limits = "SELECT name, lag_limit_events, lag_limit_ms FROM eventspool_subscription ORDER BY name";
  return [file.db.prepare(read).get(), file.db.prepare(limits).all()];
}

/** What each subscription is given, in order. */
function positionsOf(file: QueueFile): Record<string, number[]> {
  const states = new EventTable(file).state().subscriptions;
  for (const { name, depth } of states) assert.ok(depth >= 0, name);
  return Object.fromEntries(
    states.map(({ name }) => [name, claimAll(new LeaseTable(file, 60_000, { subscription: name }))]),
  );
}

test("keeps the names of events, and gives new names to those that are put later", () => {
  using queue = testQueue();
  putEvents(queue, 5);
  const uuid = new EpochTable(queue.file).uuidAt(1);
  using saved = salvaged(queue.file.path);
  const epochs = new EpochTable(saved.file);
  assert.equal(epochs.uuidAt(5), uuid);
  putEvents(saved, 1);
  assert.notEqual(epochs.uuidAt(6), uuid);
});

test("saves the settings of a queue without events", () => {
  using queue = testQueue();
  new Pause(queue.file).set(true);
  using saved = salvaged(queue.file.path);
  const { waiting, missing, knowsDelivered } = saved.found;
  assert.deepEqual([waiting, missing, knowsDelivered], [0, [], true]);
  assert.deepEqual(settingsOf(saved.file), settingsOf(queue.file));
});

test("says of bytes that hold no event that there is none, and writes nothing", () => {
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(9_000, 13), Buffer.from("no database")])
    assert.throws(() => salvagedBytes(bytes), { code: "NOTHING_FOUND" });
});

test("says of a file that does not exist that it cannot be read", () => {
  assert.throws(() => salvage("/nowhere/events-main.db", "/nowhere/new.db"), {
    name: "EventStorageError",
    code: "ENOENT",
  });
});

test("leaves a file that is there as it is", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "other.db");
  writeFileSync(path, "mine");
  assert.throws(
    () => salvage(path, path),
    (error) => error instanceof EventStorageError && error.code === "EXISTS",
  );
  assert.equal(readFileSync(path, "utf8"), "mine");
});

interface Saved extends Disposable {
  readonly found: Salvaged;
  readonly file: QueueFile;
  readonly events: EventTable;
  ids(): number[];
  /** The ids that a publisher would be given, in order. */
  claimable(): number[];
}

function salvaged(path: string): Saved {
  const directory = temporaryDirectory();
  const to = join(directory.path, "events-new.db");
  try {
    const found = salvage(path, to);
    const file = QueueFile.open(to, { role: "publisher" });
    const read = file.prepareFirst<[], number>("SELECT id FROM eventspool_event ORDER BY id");
    return {
      found,
      file,
      events: new EventTable(file),
      ids: () => read.all(),
      claimable: () => claimAll(new LeaseTable(file, 60_000)),
      [Symbol.dispose]: () => {
        file.close();
        directory[Symbol.dispose]();
      },
    };
  } catch (error) {
    directory[Symbol.dispose]();
    throw error;
  }
}

function salvagedBytes(bytes: Buffer): Saved {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  writeFileSync(path, bytes);
  const saved = salvaged(path);
  assert.deepEqual(readFileSync(path), bytes, "the damaged file is as it was");
  return saved;
}

function claimAll(leases: LeaseTable): number[] {
  const ids: number[] = [];
  for (let lease = leases.claimExpired(); lease !== undefined; lease = leases.claimExpired())
    ids.push(...idsFrom(lease.firstId, lease.lastId));
  return ids;
}

/** The bytes of a closed queue file. */
function fileOf(count: number, textOf: (n: number) => string): Buffer {
  using queue = testQueue();
  putEvents(queue, count, textOf);
  queue.file.db.pragma("wal_checkpoint(TRUNCATE)");
  return readFileSync(queue.file.path);
}

function putEvents(
  { events }: Pick<TestQueue, "events">,
  count: number,
  textOf: (n: number) => string = String,
): void {
  const bodies = idsFrom(1, count).map((n) => Buffer.from(JSON.stringify({ n, text: textOf(n) })));
  assert.ok(events.putMany(bodies));
}

/** Which events are on which page. */
function idsByPage(bytes: Buffer): Map<number, number[]> {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  writeFileSync(path, bytes);
  const file = new DamagedFile(path);
  const { leaves } = file.tree(file.roots().get("eventspool_event")!);
  return new Map(leaves.map((leaf) => [leaf.number, [...file.rows(leaf)].map(({ id }) => id)]));
}

function idsFrom(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
