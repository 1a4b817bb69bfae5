import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { test } from "node:test";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { Checkpoints } from "../../../src/storage/wal.ts";
import { testQueue } from "../../support/queue_file.ts";
import { openShell } from "../../support/shell.ts";

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

test("comes back later when a writer or a reader is in its way", () => {
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
