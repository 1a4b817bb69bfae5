import assert from "node:assert/strict";
import { renameSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { EventStorageError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { DurableEvents, SharedSync, syncWal, WalWatcher } from "../../../src/storage/wal.ts";
import { eventually } from "../../support/eventually.ts";
import { putEvents, type TestQueue, testQueue } from "../../support/queue_file.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

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

test("syncs once for all events that are committed by then", async () => {
  using queue = testQueue();
  putEvents(queue.events, 10);
  let syncs = 0;
  const events = {
    counters: () => {
      syncs++;
      return queue.events.counters();
    },
  };
  const durable = new DurableEvents(queue.file.path, events);

  await durable.reach(3);
  assert.equal(syncs, 1);
  await durable.reach(10);
  assert.equal(syncs, 1, "what was put before the sync is safe");
  putEvents(queue.events, 1);
  await durable.reach(11);
  assert.equal(syncs, 2);
  await durable.reach(11);
  assert.equal(syncs, 2);
  await durable.close();
});

test("does not count an event as safe that is put while the disk syncs", async () => {
  using queue = testQueue();
  putEvents(queue.events, 1);
  const durable = new DurableEvents(queue.file.path, queue.events);
  const reached = durable.reach(1);
  putEvents(queue.events, 1);
  await reached;

  let asked = 0;
  queue.events.counters = new Proxy(queue.events.counters, {
    apply: (counters, self, args) => {
      asked++;
      return Reflect.apply(counters, self, args);
    },
  });
  await durable.reach(2);
  assert.equal(asked, 1, "it syncs again");
  await durable.close();
});

test("says that the disk fails, and tries again the next time", async () => {
  using queue = testQueue();
  putEvents(queue.events, 1);
  const wal = `${queue.file.path}-wal`;
  renameSync(wal, `${wal}.away`);
  const durable = new DurableEvents(queue.file.path, queue.events);
  await assert.rejects(durable.reach(1), EventStorageError);
  renameSync(`${wal}.away`, wal);
  await durable.reach(1);
  await durable.close();
});

test("ends all that ask while a sync is on its way together, with the next one", async () => {
  using queue = testQueue();
  putEvents(queue.events, 1); // so that there is a -wal
  const shared = new SharedSync(queue.file.path);
  const ended: string[] = [];
  const sync = (name: string) => shared.sync().then(() => ended.push(name));
  const first = sync("first");
  await Promise.resolve(); // it begins
  await Promise.resolve();
  const others = ["second", "third"].map(sync);
  await first;
  assert.deepEqual(ended, ["first"]);
  await others[0];
  await Promise.resolve();
  assert.deepEqual(ended, ["first", "second", "third"]);
  await Promise.all(others);
  await shared.close();
});

test("rejects when there is nothing to sync, and goes on once there is", async () => {
  using directory = temporaryDirectory();
  const shared = new SharedSync(`${directory.path}/events-main.db`);
  const isMissing = (error: unknown) => error instanceof EventStorageError && error.code === "ENOENT";
  await assert.rejects(shared.sync(), isMissing);
  writeFileSync(`${directory.path}/events-main.db-wal`, "");
  await shared.sync();
  await shared.close();
});

test("lets what is on its way end when it is closed", async () => {
  using queue = testQueue();
  putEvents(queue.events, 1);
  const shared = new SharedSync(queue.file.path);
  const sync = shared.sync();
  await shared.close();
  await sync;
});

test("calls back on a put through another connection, and only while armed", async () => {
  using queue = testQueue();
  putEvents(queue.events, 1); // so that there is a -wal
  let wake: (() => void) | undefined;
  const watch = new WalWatcher(queue.file.path, () => wake?.());
  using producer = new EventQueue("main", Buffer.from, { directory: queue.directory });

  assert.equal(watch.arm(), true, "armed now");
  assert.equal(watch.arm(), false, "was armed before");
  let isWoken = false;
  wake = () => {
    isWoken = true;
  };
  producer.put("x");
  await eventually("a call back", () => isWoken); // by timers: the watch does not keep a process alive

  watch.disarm();
  wake = () => assert.fail("woken while not armed");
  producer.put("y");
  await new Promise((resolve) => setTimeout(resolve, 50));
});

test("leaves it to the poll when there is nothing to watch", () => {
  const watch = new WalWatcher("/no/such/directory/events-main.db", () => {});
  assert.equal(watch.arm(), false);
  watch.disarm();
});
