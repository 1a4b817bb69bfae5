import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { EventStorageError } from "../../../src/errors.ts";
import { DeadLetterTable } from "../../../src/storage/dead_letters.ts";
import { EventTable } from "../../../src/storage/events.ts";
import { LeaseTable } from "../../../src/storage/leases.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { firstValue } from "../../../src/storage/user_connection.ts";
import { testShop } from "../../support/outbox.ts";
import { testQueue } from "../../support/queue_file.ts";
import { openShell } from "../../support/shell.ts";
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
  assert.equal(leases.deadLetter(first, { status: 422, response: "no" }), 0);
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
  const options = { role: "publisher", durability: "process", busyTimeoutMs: 1_000 } as const;
  assert.throws(() => QueueFile.open(shop.path, options), hasCode("NOT_A_QUEUE", /another program's/));
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
