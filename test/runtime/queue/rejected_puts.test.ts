import assert from "node:assert/strict";
import { once } from "node:events";
import process from "node:process";
import { test } from "node:test";
import Database from "better-sqlite3";
import * as z from "zod";
import { EventQueueFullError, EventStorageError, EventTooLargeError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { Outbox } from "../../../src/queue/outbox.ts";
import { RejectedPuts } from "../../../src/queue/rejected_puts.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import type { RejectionReason } from "../../../src/storage/events.ts";
import { eventually } from "../../support/eventually.ts";
import { start } from "../../support/processes.ts";
import { SQLITE_LIBRARIES } from "../../support/sqlite_libraries.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** What the queue's file says of rejected puts, as the publisher reads it. */
function countsIn(file: string): Record<string, number> {
  const db = new Database(file, { readonly: true });
  const rows = db
    .prepare<[], [string, number]>("SELECT reason, count FROM eventspool_rejected_put")
    .raw()
    .all();
  db.close();
  return Object.fromEntries(rows);
}

test("leaves in the file how many events were rejected, and why", async () => {
  using directory = temporaryDirectory();
  const queue = new EventQueue("main", serializeJsonEvent, { directory: directory.path, maxEvents: 2 });
  const { file } = queue;
  queue.put({});
  assert.throws(() => queue.put({ text: "x".repeat(200_000) }), EventTooLargeError);
  assert.throws(() => queue.put({ n: 1n }));
  assert.throws(() => queue.putMany([{}, {}, {}]), EventQueueFullError);
  queue.put({});
  assert.throws(() => queue.put({}), EventQueueFullError);
  await assert.rejects(queue.putAsync({}), EventQueueFullError);
  queue.close();

  assert.deepEqual(countsIn(file), { full: 5, invalid: 1, too_large: 1 });
});

test("adds many up before it writes", () => {
  let writes = 0;
  const rejected = new RejectedPuts(() => writes++);
  for (let n = 0; n < 1_000; n++) rejected.count(new EventStorageError("SQLITE_FULL", "", "full"));
  assert.ok(writes < 100, `${writes} writes`);
  rejected.close();
});

test("adds them up about once a second, while the service runs", async () => {
  using directory = temporaryDirectory();
  using queue = new EventQueue("main", serializeJsonEvent, { directory: directory.path, maxEvents: 1 });
  queue.put({});
  for (let n = 0; n < 10; n++) assert.throws(() => queue.put({}), EventQueueFullError);
  await eventually("the counts", () => countsIn(queue.file).full === 10);

  assert.throws(() => queue.put({}), EventQueueFullError);
  await eventually("the counts", () => countsIn(queue.file).full === 11);
});

test("adds them up for a service that never comes back to its event loop", () => {
  using directory = temporaryDirectory();
  using queue = new EventQueue("main", serializeJsonEvent, { directory: directory.path, maxEvents: 1 });
  queue.put({});
  while (countsIn(queue.file).full === undefined) assert.throws(() => queue.put({}), EventQueueFullError);
});

test("keeps counting while the file cannot be written, and adds all of it later", () => {
  let fails = true;
  const added: [RejectionReason, number][] = [];
  const rejected = new RejectedPuts((counts) => {
    if (fails) throw new EventStorageError("SQLITE_FULL", "", "full");
    added.push(...counts);
  });
  rejected.count(new EventStorageError("SQLITE_FULL", "", "full"), 3);
  rejected.flush();
  fails = false;
  rejected.count(new EventStorageError("SQLITE_FULL", "", "full"));
  rejected.close();

  assert.deepEqual(added, [["storage", 4]]);
});

test("counts nothing more once it is closed", () => {
  const added: unknown[] = [];
  const rejected = new RejectedPuts((counts) => added.push(...counts));
  rejected.close();
  rejected.count(new EventStorageError("SQLITE_FULL", "", "full"));
  rejected.flush();
  assert.deepEqual(added, []);
});

test("does not keep a service alive that has nothing else to do", async () => {
  using directory = temporaryDirectory();
  await using program = start("test/support/programs/rejected_once.ts", [directory.path]);
  assert.equal(await program.ended, 0);
});

test("calls onRejected for every event that is not stored, with the error that the put throws", async () => {
  using directory = temporaryDirectory();
  const told: [code: string, count: number][] = [];
  const queue = new EventQueue("main", serializeJsonEvent, {
    directory: directory.path,
    maxEvents: 2,
    schema: z.object({ text: z.string().optional() }),
    onRejected: ({ code }, count) => told.push([code, count]),
  });
  queue.put({});
  assert.throws(() => queue.put({ text: 5 as never }));
  assert.throws(() => queue.put({ text: "x".repeat(200_000) }));
  assert.throws(() => queue.putMany([{}, {}, {}]));
  await queue.putAsync({});
  await assert.rejects(queue.putAsync({}));
  queue.close();
  assert.throws(() => queue.put({}));
  await assert.rejects(queue.putAsync({}));

  assert.deepEqual(told, [
    ["EVENT_INVALID", 1],
    ["EVENT_TOO_LARGE", 1],
    ["QUEUE_FULL", 3],
    ["QUEUE_FULL", 1],
    ["QUEUE_CLOSED", 1],
    ["QUEUE_CLOSED", 1],
  ]);
});

test("an onRejected that throws or rejects is a warning, and the put throws its own error", async () => {
  using directory = temporaryDirectory();
  const hooks = [
    () => {
      throw new Error("a slip of the service");
    },
    async () => {
      throw new Error("a slip of the service");
    },
  ];
  for (const onRejected of hooks) {
    const warned = once(process, "warning");
    using queue = new EventQueue("main", serializeJsonEvent, { directory: directory.path, onRejected });
    assert.throws(() => queue.put({ n: 1n }), { code: "EVENT_NOT_SERIALIZABLE" });
    assert.match(String(await warned), /onRejected failed: Error: a slip of the service/);
  }
});

for (const { name, open } of SQLITE_LIBRARIES)
  test(`${name}: an outbox calls onRejected for every event that is not stored`, () => {
    const db = open(":memory:");
    const told: [code: string, count: number][] = [];
    const outbox = new Outbox(db, serializeJsonEvent, {
      allowMemory: true,
      requireTransaction: true,
      onRejected: ({ code }, count) => told.push([code, count]),
    });
    assert.throws(() => outbox.put({}));
    assert.throws(() => outbox.transaction(() => outbox.putMany([{}, { n: 1n }])));
    outbox.close();
    assert.throws(() => outbox.put({}));
    db.close();
    assert.deepEqual(told, [
      ["TRANSACTION", 1],
      ["EVENT_NOT_SERIALIZABLE", 2],
      ["QUEUE_CLOSED", 1],
    ]);
  });
