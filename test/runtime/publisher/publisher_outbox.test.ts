import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { test } from "node:test";
import { admin } from "../../../src/admin/app.ts";
import { EventStorageError } from "../../../src/errors.ts";
import { StorageBreaker } from "../../../src/publisher/circuit_breaker.ts";
import { PublisherCounts } from "../../../src/publisher/counts.ts";
import { Maintenance } from "../../../src/publisher/maintenance.ts";
import type { Publisher } from "../../../src/publisher/publisher.ts";
import { TIMINGS } from "../../../src/publisher/waiting.ts";
import { Ballast } from "../../../src/storage/ballast.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { Checkpoints } from "../../../src/storage/wal.ts";
import { serveCollector } from "../../support/collector.ts";
import { eventually } from "../../support/eventually.ts";
import { type TestShop, testShop } from "../../support/outbox.ts";
import { newPublisher } from "../../support/publisher.ts";

function publisherOf(shop: TestShop, url: string): Publisher {
  return newPublisher(url, shop.directory, { "queue.file": shop.path, max_queue_size: "77" });
}

test("delivers what the service commits, and reports the outbox like any queue", async () => {
  await using collector = await serveCollector();
  using shop = testShop();
  await using publisher = publisherOf(shop, collector.url);
  void publisher.run();
  shop.db.exec("BEGIN");
  shop.outbox.put({ n: 1 });
  shop.db.exec("ROLLBACK");
  shop.outbox.transaction(() => shop.outbox.put({ n: 2 }));
  shop.outbox.put({ n: 3 });
  await eventually("an empty outbox", () => shop.outbox.depth() === 0);

  assert.deepEqual(
    collector.batches.flatMap(({ events }) => events),
    ['{"n":2}', '{"n":3}'],
  );
  assert.equal(publisher.file, shop.path);
  const [health, depth] = await Promise.all(
    ["/health", "/depth"].map(async (path) => (await admin(publisher).request(path)).json()),
  );
  assert.equal((health as { status: string }).status, "ok");
  assert.deepEqual(
    [(depth as { depth: number }).depth, (depth as { max_events: number }).max_events],
    [0, 77],
  );
});

test("does not change the service's file: its header, its rowids and its journal", async () => {
  await using collector = await serveCollector();
  using shop = testShop();
  shop.db.exec(
    "PRAGMA application_id = 77; PRAGMA user_version = 42; INSERT INTO event (rowid, mine) VALUES (9, 'x')",
  );
  const identity = (): unknown[] =>
    ["PRAGMA application_id", "PRAGMA user_version", "PRAGMA journal_mode", "SELECT rowid FROM event"].map(
      (sql) => Object.values(shop.db.prepare(sql).get() as object)[0],
    );
  assert.deepEqual(identity(), [77, 42, "wal", 9]);
  {
    await using publisher = publisherOf(shop, collector.url);
    void publisher.run();
    shop.outbox.put({ n: 1 });
    await eventually("an empty outbox", () => shop.outbox.depth() === 0);
  }
  assert.deepEqual(identity(), [77, 42, "wal", 9]);
  assert.deepEqual(readdirSync(shop.directory).sort(), ["shop.db", "shop.db-shm", "shop.db-wal"]);
});

test("never compacts or checkpoints a service's database, and keeps no ballast for it", () => {
  using shop = testShop();
  shop.db.exec("PRAGMA wal_autocheckpoint = 0; CREATE TABLE blobs (b); BEGIN");
  for (let i = 0; i < 100; i++) shop.db.prepare("INSERT INTO blobs VALUES (?)").run(new Uint8Array(100_000));
  shop.db.exec("COMMIT; DELETE FROM blobs");
  const figures = (): unknown[] => [
    statSync(`${shop.path}-wal`).size,
    ...["page_count", "freelist_count"].map((name) => shop.db.prepare(`PRAGMA ${name}`).get()),
  ];
  const before = figures();
  assert.ok((before[0] as number) > 8_000_000, "a queue file of its own would be checkpointed and compacted");

  const file = QueueFile.openOutbox(shop.path);
  const disk = { file, ballast: new Ballast(file.path, 0), checkpoints: new Checkpoints(file) };
  const storage = new StorageBreaker({ ...disk, counts: new PublisherCounts() });
  const maintenance = new Maintenance({ ...disk, storage, timings: TIMINGS });
  maintenance.keepUp();
  maintenance.onIdle({ unclaimedForMs: 3_600_000, unwrittenForMs: 3_600_000 });
  storage.failed(new EventStorageError("SQLITE_FULL", shop.path, "full"));
  assert.deepEqual(figures(), before);
  assert.deepEqual(readdirSync(shop.directory).sort(), ["shop.db", "shop.db-shm", "shop.db-wal"]);
  file.close();
});
