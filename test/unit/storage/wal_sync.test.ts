import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { syncWal } from "../../../src/storage/wal_sync.ts";
import { eventually } from "../../support/eventually.ts";
import { putEvents, type TestQueue, testQueue } from "../../support/queue_file.ts";

test("syncs the -wal at first and after others have put, and not while nothing happens", async () => {
  using queue = testQueue();
  await using sync = startSync(queue);
  await eventually("the first sync", () => sync.count() === 1);
  await sleep(250);
  assert.equal(sync.count(), 1);

  sync.producer.put("x");
  await eventually("another sync", () => sync.count() === 2);
  await sleep(250);
  assert.equal(sync.count(), 2);
});

test("syncs a whole burst of puts a few times only", async () => {
  using queue = testQueue();
  await using sync = startSync(queue);
  await eventually("the first sync", () => sync.count() === 1);
  for (let i = 0; i < 500; i++) sync.producer.put("x");
  await eventually("another sync", () => sync.count() > 1);
  assert.ok(sync.count() <= 4);
});

test("waits for a notification of a write, where there are any", async () => {
  using queue = testQueue();
  const { promise, resolve } = Promise.withResolvers<void>();
  await using sync = startSync(queue, () => promise);
  await eventually("the first sync", () => sync.count() === 1);
  sync.producer.put("x");
  await sleep(250);
  assert.equal(sync.count(), 1);

  resolve();
  await eventually("another sync", () => sync.count() === 2);
});

test("rejects when there is nothing to sync", async () => {
  using queue = testQueue();
  const { db } = queue.file;
  const elsewhere = { db, path: "/no/such/directory/events-main.db" } as typeof queue.file;
  await assert.rejects(syncWal(elsewhere, { signal: AbortSignal.abort() }), { code: "ENOENT" });
});

interface Sync extends AsyncDisposable {
  readonly producer: EventQueue<string>;
  count(): number;
}

function startSync(queue: TestQueue, written?: () => Promise<void>): Sync {
  putEvents(queue.events, 1); // so that there is a -wal
  const producer = new EventQueue<string>("main", Buffer.from, { directory: queue.directory });
  const stop = new AbortController();
  let count = 0;
  const options = { signal: stop.signal, onSync: () => count++, ...(written && { written }) };
  const syncing = syncWal(queue.file, options);
  return {
    producer,
    count: () => count,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await syncing;
      producer.close();
    },
  };
}
