import assert from "node:assert/strict";
import { rmSync, statSync } from "node:fs";
import { test } from "node:test";
import {
  ConfigurationError,
  EventError,
  EventQueueClosedError,
  EventQueueFullError,
  EventSerializationError,
  EventStorageError,
  EventTooLargeError,
} from "../../../src/errors.ts";
import { EventQueue, type EventQueueOptions } from "../../../src/queue/event_queue.ts";
import type { Database } from "../../../src/storage/sqlite/sqlite.ts";
import fc from "../../support/fast_check.ts";
import { openShell } from "../../support/shell.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const bytes = (event: Uint8Array): Uint8Array => event;
const text = (event: string): Uint8Array => new TextEncoder().encode(event);

test("has an event committed when put returns", () => {
  using directory = temporaryDirectory();
  using queue = new EventQueue("main", text, { directory: directory.path });

  queue.put("first");
  queue.put("second");

  assert.deepEqual(readBodies(queue.file), ["first", "second"]);
});

test("keeps what was put when it is closed and opened again", () => {
  using directory = temporaryDirectory();
  {
    using queue = new EventQueue("main", text, { directory: directory.path });
    queue.put("kept");
  }
  using again = new EventQueue("main", text, { directory: directory.path });
  assert.equal(again.depth(), 1);
});

test("takes no event when its file was removed, for it would be lost", () => {
  using directory = temporaryDirectory();
  using queue = new EventQueue("main", text, { directory: directory.path });
  rmSync(queue.file);
  const isMoved = (error: unknown): boolean => error instanceof EventStorageError && error.code === "MOVED";
  assert.throws(() => queue.put("a"), isMoved);
  assert.throws(() => queue.putMany(["a"]), isMoved);
});

test("stores any bytes exactly", () => {
  using directory = temporaryDirectory();
  using queue = new EventQueue("main", bytes, { directory: directory.path, maxEvents: 1_000_000 });
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 5_000 }), (body) => {
      queue.put(body);
      using db = openReadonly(queue.file);
      const stored = db.db
        .prepareFirst("SELECT body FROM eventspool_event ORDER BY id DESC LIMIT 1")
        .get() as Buffer;
      assert.deepEqual(new Uint8Array(stored), body);
    }),
    { numRuns: 50 },
  );
});

test("stores all events of putMany in order, or none", () => {
  using directory = temporaryDirectory();
  using queue = new EventQueue("main", text, { directory: directory.path, maxEvents: 3 });
  queue.putMany(["a", "b"]);

  assert.throws(() => queue.putMany(["c", "d"]), EventQueueFullError);
  assert.throws(() => queue.putMany(["c", ""]), EventSerializationError);
  queue.putMany([]);
  queue.putMany(["c"]);

  assert.deepEqual(readBodies(queue.file), ["a", "b", "c"]);
});

test("takes 102,400 bytes and rejects 102,401, naming size, limit and queue", () => {
  using directory = temporaryDirectory();
  using queue = new EventQueue("big", bytes, { directory: directory.path });
  queue.put(new Uint8Array(102_400));

  assert.throws(
    () => queue.put(new Uint8Array(102_401)),
    (error) => {
      assert.ok(error instanceof EventTooLargeError && error instanceof EventError);
      assert.deepEqual([error.size, error.limit, error.queue], [102_401, 102_400, "big"]);
      assert.match(error.message, /^Event is too large to send \(102401 bytes\)/);
      return true;
    },
  );
  assert.equal(queue.depth(), 1);
});

test("rejects exactly at the cap, naming size, limit and queue, and takes events again below it", () => {
  using directory = temporaryDirectory();
  using queue = new EventQueue("small", text, { directory: directory.path, maxEvents: 5 });
  for (let i = 0; i < 5; i++) queue.put(`${i}`);

  for (let i = 0; i < 3; i++) {
    assert.throws(
      () => queue.put("one too many"),
      (error) => {
        assert.ok(error instanceof EventQueueFullError && error instanceof EventError);
        assert.deepEqual([error.size, error.limit, error.queue], [5, 5, "small"]);
        assert.match(error.message, /^The event queue is full\./);
        return true;
      },
    );
  }
  assert.equal(queue.depth(), 5);

  using other = new EventQueue("small", text, { directory: directory.path, maxEvents: 6 });
  queue.put("fits now");
  assert.throws(() => other.put("full again"), EventQueueFullError);
});

test("keeps the row cap in the file until someone passes another", () => {
  using directory = temporaryDirectory();
  new EventQueue("main", text, { directory: directory.path, maxEvents: 2 }).close();
  using queue = new EventQueue("main", text, { directory: directory.path });
  queue.put("1");
  queue.put("2");
  assert.throws(() => queue.put("3"), EventQueueFullError);

  new EventQueue("main", text, { directory: directory.path, maxEvents: 1 }).close();
  assert.equal(queue.depth(), 2, "events above a lowered cap stay");
});

test("holds 10,000 events by default", () => {
  using directory = temporaryDirectory();
  using queue = new EventQueue("main", text, { directory: directory.path });
  queue.putMany(Array.from({ length: 10_000 }, (_, i) => `${i}`));
  assert.throws(() => queue.put("10,001"), EventQueueFullError);
});

test("rejects an event that serializes to nothing or to something other than bytes", () => {
  using directory = temporaryDirectory();
  using empty = new EventQueue("empty", text, { directory: directory.path });
  assert.throws(() => empty.put(""), EventSerializationError);

  using wrong = new EventQueue(
    "wrong",
    ((event: string) => event) as unknown as (event: string) => Uint8Array,
    {
      directory: directory.path,
    },
  );
  assert.throws(() => wrong.put("text"), EventSerializationError);
  assert.equal(wrong.depth(), 0);
});

test("says what a serializer of the service threw, as the cause of its own error, and stores nothing", async () => {
  using directory = temporaryDirectory();
  const cause = new RangeError("secret text of the event");
  const serialize = (): Uint8Array => {
    throw cause;
  };
  using queue = new EventQueue("main", serialize, { directory: directory.path });
  const message = "Event was not serialized: the queue's serializer threw RangeError.";
  const expected = { name: "EventSerializationError", message, cause };
  assert.throws(() => queue.put({}), expected);
  assert.throws(() => queue.putMany([{}]), expected);
  await assert.rejects(queue.putAsync({}), expected);
  assert.equal(queue.depth(), 0);
});

test("says that it is closed after close, and can be closed twice", () => {
  using directory = temporaryDirectory();
  const queue = new EventQueue("main", text, { directory: directory.path });
  queue.close();
  queue.close();
  assert.throws(() => queue.put("late"), EventQueueClosedError);
  assert.throws(() => queue.putMany(["late"]), EventQueueClosedError);
  assert.throws(() => queue.depth(), EventQueueClosedError);
});

test("waits for a lock that another process holds, and says so when it takes too long", () => {
  using directory = temporaryDirectory();
  using queue = new EventQueue("main", text, { directory: directory.path, busyTimeoutMs: 20 });
  const shell = openShell(queue.file);
  shell.exec("BEGIN IMMEDIATE");

  assert.throws(
    () => queue.put("blocked"),
    (error) =>
      error instanceof EventStorageError &&
      error.code === "SQLITE_BUSY" &&
      /another process/.test(error.message),
  );

  shell.exec("ROLLBACK");
  shell.close();
  queue.put("goes on");
  assert.equal(queue.depth(), 1);
});

test("rejects options that make no sense, naming them", () => {
  using directory = temporaryDirectory();
  const open = (options: EventQueueOptions): EventQueue<string> =>
    new EventQueue("main", text, { directory: directory.path, ...options });
  for (const [key, value] of [
    ["maxEvents", 0],
    ["maxEvents", 1.5],
    ["maxEvents", Number.NaN],
    ["maxEventBytes", -1],
    ["busyTimeoutMs", 0],
    ["durability", "forever"],
  ] as const) {
    assert.throws(
      () => open({ [key]: value }),
      (error) =>
        error instanceof ConfigurationError &&
        error.location.key === key &&
        error.message.includes(`${value}`),
    );
  }
});

test("syncs each put to the disk when it should survive a power cut", () => {
  using directory = temporaryDirectory();
  using queue = new EventQueue("main", text, { directory: directory.path, durability: "power" });
  queue.put("synced");
  assert.equal(queue.depth(), 1);
});

test("makes one file a queue", () => {
  using directory = temporaryDirectory();
  using a = new EventQueue("a", text, { directory: directory.path });
  using b = new EventQueue("b", text, { directory: directory.path });
  a.put("for a");
  assert.deepEqual([a.depth(), b.depth()], [1, 0]);
  assert.ok(statSync(`${directory.path}/events-a.db`).isFile());
});

function readBodies(file: string): string[] {
  using reader = openReadonly(file);
  return reader.db
    .prepareFirst<[], string>("SELECT CAST(body AS TEXT) FROM eventspool_event ORDER BY id")
    .all();
}

/** A second connection of the same library: what it sees is committed. */
function openReadonly(file: string): { db: Database } & Disposable {
  const db = openShell(file, { isReadOnly: true });
  return { db, [Symbol.dispose]: () => db.close() };
}
