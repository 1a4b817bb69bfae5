import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { EventQueue } from "../../src/queue/event_queue.ts";
import { WalSync } from "../../src/store/wal_sync.ts";
import { putEvents, testQueue } from "../support/queue_file.ts";

test("syncs the -wal after others have put, and not while nothing happens", async () => {
  using queue = testQueue();
  putEvents(queue.events, 1);
  using producer = new EventQueue("main", Buffer.from, { directory: queue.directory });
  using sync = new WalSync(queue.file, (error) => assert.fail(error));
  await setTimeout(250);
  assert.equal(sync.count, 0);

  producer.put("x");
  while (sync.count === 0) await setTimeout(10);

  const { count } = sync;
  await setTimeout(250);
  assert.equal(sync.count, count);
});

test("syncs a whole burst of puts a few times only", async () => {
  using queue = testQueue();
  putEvents(queue.events, 1);
  using producer = new EventQueue("main", Buffer.from, { directory: queue.directory });
  using sync = new WalSync(queue.file, (error) => assert.fail(error));
  for (let i = 0; i < 500; i++) producer.put("x");
  while (sync.count === 0) await setTimeout(10);
  assert.ok(sync.count <= 3);
});
