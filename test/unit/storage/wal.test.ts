import assert from "node:assert/strict";
import { renameSync, statSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { EventStorageError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { Trimmer } from "../../../src/storage/trim.ts";
import {
  Checkpoints,
  compact,
  DurableEvents,
  SharedSync,
  syncWal,
  WalWatcher,
} from "../../../src/storage/wal.ts";
import { eventually } from "../../support/eventually.ts";
import { putEvents, type TestQueue, testQueue } from "../../support/queue_file.ts";
import { openShell } from "../../support/shell.ts";
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

const MB = 1_000_000;
const body = Buffer.alloc(100_000, "x");
const walBytes = (path: string): number => statSync(`${path}-wal`).size;

for (const [name, hasNoop] of [
  ["today's SQLite", undefined],
  ["a SQLite without checkpoints that only look", false],
] as const) {
  test(`${name}: keeps the WAL bounded while events come and go`, async () => {
    using queue = testQueue();
    using producer = new EventQueue("main", () => body, { directory: queue.directory });
    const checkpoints = new Checkpoints(queue.file, hasNoop);
    for (let claimed = 0; claimed < 1_000; claimed += 20) {
      for (let i = 0; i < 20; i++) producer.put("");
      checkpoints.keepUp();
      const lease = queue.leases.claim(claimed, claimed + 20);
      assert.ok(lease);
      await queue.leases.ack(lease);
    }
    assert.ok(walBytes(queue.file.path) < 16 * MB, `${walBytes(queue.file.path)} bytes for 100 MB of events`);
    assert.equal(queue.events.depth(), 0);
  });

  test(`${name}: leaves a small WAL alone under load, and gives its space back when idle`, () => {
    using queue = testQueue();
    using producer = new EventQueue("main", () => body, { directory: queue.directory });
    const checkpoints = new Checkpoints(queue.file, hasNoop);
    for (let i = 0; i < 30; i++) producer.put("");
    const before = walBytes(queue.file.path);

    checkpoints.keepUp();
    assert.equal(walBytes(queue.file.path), before);

    checkpoints.onIdle();
    assert.equal(walBytes(queue.file.path), 0);
    assert.equal(producer.depth(), 30);
  });
}

test("gives back the space of a WAL that was started again and holds little now", () => {
  using queue = testQueue();
  using producer = new EventQueue("main", () => body, { directory: queue.directory });
  const checkpoints = new Checkpoints(queue.file);
  for (let i = 0; i < 30; i++) producer.put("");
  queue.file.db.pragma("wal_checkpoint(RESTART)");
  queue.events.put(Buffer.from("e"));
  assert.ok(walBytes(queue.file.path) > 3 * MB);

  checkpoints.onIdle();

  assert.equal(walBytes(queue.file.path), 0);
});

test("a checkpoint comes back later when a writer or a reader is in its way", () => {
  using queue = testQueue();
  using producer = new EventQueue("main", () => body, { directory: queue.directory });
  for (let i = 0; i < 400; i++) producer.put("");
  const shell = openShell(queue.file.path);
  const checkpoints = new Checkpoints(queue.file);

  shell.exec("BEGIN IMMEDIATE");
  checkpoints.keepUp();
  checkpoints.onIdle();
  shell.exec("ROLLBACK");
  const reader = shell.prepare("SELECT body FROM eventspool_event").iterate();
  reader.next();
  checkpoints.keepUp();
  reader.return?.();
  shell.close();

  checkpoints.onIdle();
  assert.equal(walBytes(queue.file.path), 0);
  assert.equal(producer.depth(), 400);
});

const MIB = 1_048_576;

function putSome(queue: TestQueue, count: number, sizeBytes: number): void {
  queue.events.setMaxEvents(1_000_000);
  queue.events.putMany(Array.from({ length: count }, () => Buffer.alloc(sizeBytes, "x")));
}

function deliverUpTo(queue: TestQueue, lastId: number): void {
  const lease = queue.leases.claim(queue.leases.claimedId(), lastId)!;
  assert.equal(queue.leases.ack(lease), true);
  new Trimmer(queue.file).purge(lastId);
}

/** The size of the file once all that was committed is in it, in bytes. */
function sizeOf({ file }: TestQueue): number {
  new Checkpoints(file).truncateWal();
  return statSync(file.path).size;
}

test("gives a large backlog's space back once it is delivered, and goes on with the ids where they were", () => {
  using queue = testQueue();
  putSome(queue, 10_000, 1_000);
  deliverUpTo(queue, 9_999);
  assert.ok(sizeOf(queue) > 9 * MIB);

  assert.equal(compact(queue.file), true);

  assert.ok(sizeOf(queue) < 100_000, `${sizeOf(queue)} bytes`);
  assert.equal(queue.events.depth(), 1);
  putSome(queue, 1, 10);
  const lease = queue.leases.claim(9_999, 10_001)!;
  assert.equal(queue.leases.read(lease).count, 2, "the one that waited, and the new one behind it");
  queue.leases.ack(lease);
  assert.equal(compact(queue.file), false, "there is nothing to give back now");
});

test("leaves a file alone that has little to give back, or is mostly full, or has much in it", () => {
  using little = testQueue();
  putSome(little, 1_000, 1_000);
  deliverUpTo(little, 1_000);
  assert.equal(compact(little.file), false);

  using mostlyFull = testQueue();
  putSome(mostlyFull, 12_000, 1_000);
  deliverUpTo(mostlyFull, 5_000);
  assert.equal(compact(mostlyFull.file), false);

  using much = testQueue();
  putSome(much, 500, 100_000);
  deliverUpTo(much, 300);
  assert.equal(compact(much.file), false);
});

test("a compaction comes back later when somebody writes", () => {
  using queue = testQueue();
  putSome(queue, 10_000, 1_000);
  deliverUpTo(queue, 10_000);
  using other = testQueue({ directory: queue.directory });
  other.file.db.exec("BEGIN IMMEDIATE");

  assert.equal(compact(queue.file), false);

  other.file.db.exec("COMMIT");
  assert.equal(compact(queue.file), true);
});
