import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import Database from "better-sqlite3";
import { healthOf } from "../../../src/publisher/health.ts";
import { LeaseTable } from "../../../src/storage/leases.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { serveCollector } from "../../support/collector.ts";
import { deadLetter } from "../../support/dead_letters.ts";
import { eventually } from "../../support/eventually.ts";
import { start } from "../../support/processes.ts";
import { newPublisher, newQueue } from "../../support/publisher.ts";

test("continues when the queue file works again", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url);
  const other = new Database(main.publisher.file);
  other.exec("ALTER TABLE eventspool_lease RENAME TO hidden");
  void main.publisher.run(); // which fails before it returns

  other.exec("ALTER TABLE hidden RENAME TO eventspool_lease");
  other.close();
  main.queue.putMany([{ id: 1 }, { id: 2 }, { id: 3 }]);
  await eventually("an empty queue", () => main.queue.depth() === 0);

  assert.deepEqual(
    collector.batches.flatMap(({ events }) => events),
    ['{"id":1}', '{"id":2}', '{"id":3}'],
  );
  assert.deepEqual(main.publisher.status().lastProblem?.kind, "storage");
});

test("does not try a failing queue file before its backoff has passed, even if the publisher is woken", async (t) => {
  const { random } = Math;
  Math.random = () => 0.99; // so that a backoff takes 495 ms at least
  t.after(() => {
    Math.random = random;
  });
  await using main = newQueue("http://127.0.0.1:9");
  const { publisher, queue } = main;
  queue.putMany(Array.from({ length: 50 }, (_, id) => ({ id })));
  const other = QueueFile.open(publisher.file);
  const leases = new LeaseTable(other, 1_000);
  deadLetter(leases, leases.claim(0, 50)!, { status: 422, response: "no" });
  other.db.exec("ALTER TABLE eventspool_epoch RENAME TO hidden");
  void publisher.run();
  const now = () => {
    const { counts, lastProblem } = publisher.metrics();
    return { failures: counts.storageFailures, failedAtMs: lastProblem!.atMs };
  };
  let wakeUps = 0;
  for (let id = 1; id <= 50 && wakeUps < 3; id++) {
    const before = now();
    assert.equal((await publisher.deadLetters.retry({ ids: [id] })).retried, 1); // wakes it
    for (let turn = 0; turn < 3; turn++) await nextTurn();
    if (Date.now() - before.failedAtMs > 400) continue; // a slow machine: the backoff may be over
    assert.equal(now().failures, before.failures);
    wakeUps++;
  }
  assert.ok(wakeUps > 0);
  other.db.exec("ALTER TABLE hidden RENAME TO eventspool_epoch");
  other.close();
});

test("reports that the queue file was removed, and delivers its events", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url);
  main.queue.putMany([{ id: 1 }, { id: 2 }, { id: 3 }]);
  rmSync(main.publisher.file);
  void main.publisher.run();
  await eventually("a failure", () => main.publisher.status().consecutiveStorageFailures > 0);
  await eventually("a delivery", () => main.publisher.status().delivered === 3);

  assert.equal(healthOf(main.publisher.status()).health, "failing");
  assert.match(main.publisher.status().lastProblem?.message ?? "", /was removed/);
  assert.deepEqual(
    collector.batches.flatMap(({ events }) => events),
    ['{"id":1}', '{"id":2}', '{"id":3}'],
  );
});

test("stops without an error when the queue file cannot be read", async () => {
  await using main = newQueue("http://127.0.0.1:9");
  const stop = new AbortController();
  const running = main.publisher.run({ signal: stop.signal });
  const other = new Database(main.publisher.file);
  other.exec("ALTER TABLE eventspool_queue RENAME TO hidden");
  stop.abort();

  await running; // does not reject
  other.exec("ALTER TABLE hidden RENAME TO eventspool_queue");
  other.close();
});

test("starts with new settings although another process holds the lock for longer than a put waits", async () => {
  await using main = newQueue("http://127.0.0.1:9");
  await using holder = start("test/support/programs/lock_holder.ts", [main.queue.file, "1200"]);
  await holder.line(/held/);
  await using publisher = newPublisher("http://127.0.0.1:8", main.directory, {
    max_queue_size: "7",
    "queue.retention": "1h",
    "publisher.subscription": "audit",
    "subscription.start": "oldest",
  });
  const { state } = publisher.status();
  assert.equal(state.maxEvents, 7);
  assert.equal(state.retention.maxAgeMs, 3_600_000);
  assert.deepEqual(
    state.subscriptions.map(({ name }) => name),
    ["default", "audit"],
  );
  await holder.ended;
});
