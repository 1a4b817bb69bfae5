import assert from "node:assert/strict";
import { renameSync } from "node:fs";
import { test } from "node:test";
import { EventStorageError } from "../../../src/errors.ts";
import { DurableEvents } from "../../../src/storage/wal_sync.ts";
import { putEvents, testQueue } from "../../support/queue_file.ts";

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
