import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  ConfigurationError,
  EventStorageError,
  EventTransactionError,
  Outbox,
  type OutboxOptions,
  type SqliteConnection,
  serializeJsonEvent,
} from "../../../src/queue/outbox.ts";
import { DeadLetterTable } from "../../../src/storage/dead_letters.ts";
import { EventTable } from "../../../src/storage/events.ts";
import { LeaseTable } from "../../../src/storage/leases.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { firstValue } from "../../../src/storage/user_connection.ts";
import { deadLetter } from "../../support/dead_letters.ts";
import { testShop } from "../../support/outbox.ts";
import { testQueue } from "../../support/queue_file.ts";
import { openShell } from "../../support/shell.ts";
import { openShop, SQLITE_LIBRARIES } from "../../support/sqlite_libraries.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const open = (path: string, isReadOnly = false): QueueFile =>
  QueueFile.openOutbox(path, { busyTimeoutMs: 1_000, isReadOnly });

function hasCode(code: string, words: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof EventStorageError && error.code === code && words.test(error.message);
}

test("claims, splits, acks and retries the events of an outbox, makes dead letters of them, and touches no table of the service", async () => {
  using shop = testShop();
  const tables = ["event", "queue", "lease", "dead_letter", "rejected_put"];
  for (const table of tables) shop.db.exec(`INSERT INTO ${table} VALUES ('mine')`);
  shop.outbox.putMany([{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }]);
  const file = open(shop.path);
  const [events, leases] = [new EventTable(file), new LeaseTable(file, 60_000)];

  const lease = leases.claim(0, 4)!;
  assert.equal(Buffer.from(leases.read(lease).joined).toString(), '{"n":1},{"n":2},{"n":3},{"n":4}');
  assert.ok(leases.split(lease, 1));
  const first = leases.claimExpired()!;
  assert.equal(deadLetter(leases, first, { status: 422, response: "no" }), 0);
  assert.ok(await leases.ack(leases.claimExpired()!));
  const { subscriptions, ...state } = events.state();
  assert.deepEqual(
    subscriptions.map(({ name, depth, deadLetters }) => [name, depth, deadLetters]),
    [["default", 0, 1]],
  );
  assert.deepEqual(state, {
    newestId: 4,
    depth: 0,
    maxEvents: 10_000,
    leased: 0,
    deadLetters: 1,
    deadLetterBytes: 9,
    droppedDeadLetters: 0,
    rejectedPuts: { full: 0, too_large: 0, invalid: 0, storage: 0 },
    oldestPutAtMs: undefined,
    rolledBackAtMs: undefined,
    retention: { maxAgeMs: undefined, maxBytes: undefined },
    retainedBytes: 0,
  });
  assert.equal(new DeadLetterTable(file).retry([1], events), 1);
  assert.equal(shop.outbox.depth(), 1);
  for (const table of tables)
    assert.equal(firstValue(shop.db, `SELECT group_concat(mine) FROM ${table}`), "mine");
  file.close();
});

test("does not see what the service has not committed, nor what it has rolled back", () => {
  using shop = testShop();
  const file = open(shop.path);
  const events = new EventTable(file);
  shop.db.exec("BEGIN");
  shop.outbox.put({ n: 1 });
  assert.equal(events.depth(), 0);
  shop.db.exec("ROLLBACK");
  shop.outbox.transaction(() => shop.outbox.put({ n: 2 }));
  assert.deepEqual(
    events.read({ fromId: 1, limit: 10 }).map(({ id, body }) => [id, Buffer.from(body).toString()]),
    [[1, '{"n":2}']],
  );
  file.close();
});

test("reads an outbox without writing to it", () => {
  using shop = testShop();
  shop.outbox.put({ n: 1 });
  const file = open(shop.path, true);
  assert.equal(new EventTable(file).depth(), 1);
  assert.throws(
    () => new LeaseTable(file, 1_000).claim(0, 1),
    hasCode("SQLITE_READONLY", /may not be written/),
  );
  file.close();
});

test("makes no database that is not there, and no outbox in one that has none", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "shop.db");
  assert.throws(() => open(path), hasCode("ENOENT", /start the service first/));
  assert.throws(() => open(directory.path), hasCode("ENOENT", /does not exist or is not a file/));
  assert.ok(!existsSync(path));

  const db = openShell(path);
  db.exec("CREATE TABLE event (mine TEXT)");
  assert.throws(() => open(path), hasCode("NOT_A_QUEUE", /has no outbox: start the service first/));
  db.close();
  assert.deepEqual(readdirSync(directory.path), ["shop.db"]);
});

test("rejects a queue's own file, and as a queue a service's database", () => {
  using queue = testQueue();
  assert.throws(() => open(queue.file.path), hasCode("NOT_A_QUEUE", /a queue's own file/));
  using shop = testShop();
  assert.throws(
    () => QueueFile.open(shop.path, { role: "publisher" }),
    hasCode("NOT_A_QUEUE", /another program's/),
  );
});

test("rejects a database that has left WAL mode, and leaves its mode", () => {
  using shop = testShop();
  shop.db.exec("PRAGMA journal_mode = DELETE");
  assert.throws(() => open(shop.path), hasCode("NOT_WAL", /PRAGMA journal_mode = WAL/));
  assert.equal(firstValue(shop.db, "PRAGMA journal_mode"), "delete");
});

test("tells an older outbox to who only reads, and rejects a newer one", () => {
  using shop = testShop();
  shop.db.exec("UPDATE eventspool_schema SET version = 0");
  assert.throws(() => open(shop.path, true), hasCode("OLDER_SCHEMA", /version 0/));
  shop.db.exec("UPDATE eventspool_schema SET version = 99");
  assert.throws(() => open(shop.path), hasCode("NEWER_SCHEMA", /version 99.*upgrade/));
});

const [sameLibrary, otherLibrary] = SQLITE_LIBRARIES;

for (const library of SQLITE_LIBRARIES) {
  test(`${library.name}: rejects a database that is not in WAL mode, and leaves its mode`, () => {
    using directory = temporaryDirectory();
    const db = library.open(join(directory.path, "shop.db"));
    db.exec("CREATE TABLE orders (id INTEGER PRIMARY KEY)");
    assert.throws(
      () => new Outbox(db, serializeJsonEvent),
      hasCode("NOT_WAL", /journal_mode: delete.*PRAGMA journal_mode = WAL/),
    );
    assert.deepEqual(Object.values(db.prepare("PRAGMA journal_mode").get() as object), ["delete"]);
    db.close();
  });

  test(`${library.name}: rejects a database in memory unless it is for a test, also where a file is attached`, () => {
    using directory = temporaryDirectory();
    openShop(library, join(directory.path, "shop.db")).close();
    const db = library.open(":memory:");
    db.exec(`ATTACH '${join(directory.path, "shop.db")}' AS shop`);
    assert.throws(
      () => new Outbox(db, serializeJsonEvent),
      hasCode("IN_MEMORY", /not an attached one.*allowMemory/),
    );

    const outbox = new Outbox(db, serializeJsonEvent, { allowMemory: true });
    outbox.transaction(() => outbox.put({}));
    assert.equal(outbox.depth(), 1);
    outbox.close();
    db.close();
  });

  test(`${library.name}: makes its tables in the main database, not in an attached one`, () => {
    using directory = temporaryDirectory();
    const [main, other] = ["main.db", "other.db"].map((name) => join(directory.path, name)) as [
      string,
      string,
    ];
    const attached = openShop(library, other);
    new Outbox(attached, serializeJsonEvent).close();
    attached.close();

    const db = openShop(library, main);
    db.exec(`ATTACH '${other}' AS other`);
    const outbox = new Outbox(db, serializeJsonEvent);
    outbox.put({});
    assert.equal(outbox.file, main);
    const count = (schema: string): unknown[] =>
      Object.values(db.prepare(`SELECT count(*) FROM ${schema}.eventspool_event`).get() as object);
    assert.deepEqual([count("main"), count("other")], [[1], [0]]);
    outbox.close();
    db.close();
  });

  test(`${library.name}: says so when the connection may only read`, () => {
    using directory = temporaryDirectory();
    const path = join(directory.path, "shop.db");
    const writer = openShop(library, path);
    const reader = library.openReadOnly(path);
    assert.throws(
      () => new Outbox(reader, serializeJsonEvent),
      hasCode("SQLITE_READONLY", /may not be written/),
    );

    new Outbox(writer, serializeJsonEvent).close();
    const outbox = new Outbox(reader, serializeJsonEvent);
    assert.throws(() => outbox.put({}), hasCode("SQLITE_READONLY", /may not be written/));
    outbox.close();
    reader.close();
    writer.close();
  });

  test(`${library.name}: is not made while a transaction is open`, () => {
    using directory = temporaryDirectory();
    const db = openShop(library, join(directory.path, "shop.db"));
    db.exec("BEGIN");
    assert.throws(() => new Outbox(db, serializeJsonEvent), EventTransactionError);
    db.exec("COMMIT");
    new Outbox(db, serializeJsonEvent).close();
    db.close();
  });

  test(`${library.name}: leaves the pragmas of the connection and what identifies the file`, () => {
    using directory = temporaryDirectory();
    const db = openShop(library, join(directory.path, "shop.db"));
    db.exec("PRAGMA application_id = 77; PRAGMA user_version = 42");
    const names =
      "application_id user_version synchronous busy_timeout wal_autocheckpoint foreign_keys cache_size";
    const pragmas = (): unknown[] =>
      names.split(" ").map((name) => Object.values(db.prepare(`PRAGMA ${name}`).get() as object)[0]);
    const before = pragmas();
    const outbox = new Outbox(db, serializeJsonEvent);
    outbox.transaction(() => outbox.put({}));
    assert.deepEqual(pragmas(), before);
    assert.deepEqual(before.slice(0, 2), [77, 42]);
    outbox.close();
    db.close();
  });
}

test("rejects what is no connection, and options that make no sense, naming them", () => {
  using directory = temporaryDirectory();
  const db = openShop(sameLibrary, join(directory.path, "shop.db"));
  const open = (connection: unknown, options: OutboxOptions = {}): Outbox<unknown> =>
    new Outbox(connection as SqliteConnection, serializeJsonEvent, options);
  for (const [key, work] of [
    ["db", () => open(undefined)],
    ["db", () => open({ prepare: () => {}, exec: () => {} })],
    ["maxEvents", () => open(db, { maxEvents: 0 })],
    ["maxEventBytes", () => open(db, { maxEventBytes: 1.5 })],
  ] as const)
    assert.throws(work, (error) => error instanceof ConfigurationError && error.location.key === key);
  db.close();
});

test("lets no second SQLite library have the database open in one process", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "shop.db");
  const db = openShop(otherLibrary, path);
  const outbox = new Outbox(db, serializeJsonEvent);
  const open = (): QueueFile => QueueFile.openOutbox(path);
  assert.throws(open, hasCode("TWO_LIBRARIES", /a process of its own/));
  outbox.close();
  db.close();

  const same = openShop(sameLibrary, path);
  const beside = new Outbox(same, serializeJsonEvent);
  const derived = new (class extends sameLibrary.Connection {})(path);
  new Outbox(derived, serializeJsonEvent).close();
  derived.close();
  open().close();
  beside.put({});
  beside.close();
  same.close();
});

test("imports no SQLite library of its own", () => {
  assert.ok(
    importsOf("../../../src/publisher/mod.ts").has("@logtape/logtape"),
    "they are found where they are",
  );
  const packages = [...importsOf("../../../src/queue/outbox.ts")].filter((name) => !name.startsWith("node:"));
  assert.deepEqual(packages, []);
});

/** The packages that a module imports, by itself or through others; not for their types only. */
function importsOf(
  path: string,
  from: string | URL = import.meta.url,
  seen = new Set<string>(),
): Set<string> {
  const url = new URL(path, from);
  if (seen.has(url.href)) return new Set();
  seen.add(url.href);
  const statements = readFileSync(url, "utf8").matchAll(
    /^(?:import|export) (?!type\b)[^;]*?from "([^"]+)";/gm,
  );
  const names = [...statements].map(([, name]) => name as string);
  const packages = names.filter((name) => !name.startsWith("."));
  const others = names
    .filter((name) => name.startsWith("."))
    .flatMap((name) => [...importsOf(name, url, seen)]);
  return new Set([...packages, ...others]);
}
