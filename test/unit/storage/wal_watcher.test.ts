import assert from "node:assert/strict";
import { test } from "node:test";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { WalWatcher } from "../../../src/storage/wal_watcher.ts";
import { eventually } from "../../support/eventually.ts";
import { putEvents, testQueue } from "../../support/queue_file.ts";

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
