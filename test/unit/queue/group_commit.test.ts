import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  EventQueueClosedError,
  EventQueueFullError,
  EventStorageError,
  EventTooLargeError,
} from "../../../src/errors.ts";
import { EventQueue, type EventQueueOptions } from "../../../src/queue/event_queue.ts";
import { GroupCommit } from "../../../src/queue/group_commit.ts";
import { openShell } from "../../support/shell.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const text = (event: string): Uint8Array => new TextEncoder().encode(event);

function openQueue(options: EventQueueOptions = {}): { queue: EventQueue<string> } & Disposable {
  const directory = temporaryDirectory();
  const queue = new EventQueue("main", text, { directory: directory.path, ...options });
  return {
    queue,
    [Symbol.dispose]: () => {
      queue.close();
      directory[Symbol.dispose]();
    },
  };
}

test("commits the puts of one turn together, in order, before any of them resolves", async () => {
  using opened = openQueue();
  const { queue } = opened;
  const puts = ["a", "b", "c"].map((event) => queue.putAsync(event));
  assert.equal(queue.depth(), 0, "nothing is committed yet");

  await puts[0];

  assert.equal(queue.depth(), 3);
  await Promise.all(puts);
  queue.put("d");
  assert.deepEqual(bodies(queue.file), ["a", "b", "c", "d"]);
});

test("rejects only those of a group that do not fit", async () => {
  using opened = openQueue({ maxEvents: 2 });
  const results = await Promise.allSettled(["a", "b", "c", "d"].map((event) => opened.queue.putAsync(event)));
  assert.deepEqual(
    results.map(({ status }) => status),
    ["fulfilled", "fulfilled", "rejected", "rejected"],
  );
  assert.ok((results[2] as PromiseRejectedResult).reason instanceof EventQueueFullError);
  assert.deepEqual(bodies(opened.queue.file), ["a", "b"]);
});

test("bounds what waits for a lock in bytes, however often it was tried without success", async () => {
  using opened = openQueue({ busyTimeoutMs: 60_000 });
  const { queue } = opened;
  const other = openShell(queue.file);
  other.exec("BEGIN IMMEDIATE");
  const large = "x".repeat(100_000);
  const putMany = (count: number) => Array.from({ length: count }, () => queue.putAsync(large));
  const first = Promise.allSettled(putMany(600)); // 60 MB of 67
  for (let turn = 0; turn < 50; turn++) await nextTurn();
  const second = Promise.allSettled(putMany(200));
  other.exec("ROLLBACK");
  other.close();
  assert.ok((await first).every(({ status }) => status === "fulfilled"));
  const rejected = (await second).filter(({ status }) => status === "rejected");
  assert.ok(rejected.length > 100, `${rejected.length} of 200`);
});

test("rejects what was stored and may not be safe, since it could not be synced", async () => {
  const failure = new Error("the disk fails");
  const rejected: [unknown, number][] = [];
  const unexpected = (): Error => new Error("there is room");
  const commit = new GroupCommit(
    {
      putWhatFits: (bodies) => bodies.length,
      sync: () => Promise.reject(failure),
      room: () => 10,
      full: unexpected,
      tooLarge: unexpected,
      onRejected: (error, count) => void rejected.push([error, count]),
    },
    1_000,
  );
  const puts = await Promise.allSettled([commit.add(text("a")), commit.add(text("b"))]);
  assert.deepEqual(
    puts.map((put) => put.status === "rejected" && put.reason),
    [failure, failure],
  );
  assert.deepEqual(rejected, [[failure, 2]]);
});

test("rejects an event that put would reject, and stores the others of its group", async () => {
  using opened = openQueue();
  const good = opened.queue.putAsync("good");
  await assert.rejects(opened.queue.putAsync("x".repeat(102_401)), EventTooLargeError);
  await good;
  assert.equal(opened.queue.depth(), 1);
});

test("rejects all of a group whose commit fails, and stores the next", async () => {
  using opened = openQueue({ busyTimeoutMs: 5 });
  const shell = openShell(opened.queue.file);
  shell.exec("BEGIN IMMEDIATE");
  const puts = ["a", "b"].map((event) => opened.queue.putAsync(event));
  for (const put of puts) await assert.rejects(put, EventStorageError);
  shell.close();
  await opened.queue.putAsync("c");
  assert.deepEqual(bodies(opened.queue.file), ["c"]);
});

test("commits the puts that still wait when the queue is closed", async () => {
  using opened = openQueue();
  const put = opened.queue.putAsync("last");
  opened.queue.close();
  await put;
  assert.deepEqual(bodies(opened.queue.file), ["last"]);
  await assert.rejects(opened.queue.putAsync("late"), EventQueueClosedError);
});

function bodies(file: string): string[] {
  const db = openShell(file, { isReadOnly: true });
  const rows = db
    .prepareFirst<[], string>("SELECT CAST(body AS TEXT) FROM eventspool_event ORDER BY id")
    .all();
  db.close();
  return rows;
}

test("commits a large group part by part, so that the event loop has its turns", async () => {
  using opened = openQueue();
  const { queue } = opened;
  const puts = Array.from({ length: 1_000 }, (_, n) => queue.putAsync(`${n}`));
  const depths = new Set<number>();
  const looking = (): void => {
    depths.add(queue.depth());
    if (!depths.has(puts.length)) setImmediate(looking);
  };
  setImmediate(looking);
  await Promise.all(puts);
  await nextTurn();
  assert.ok(depths.size > 2, `seen: ${[...depths].join(", ")}`);
  assert.deepEqual(bodies(queue.file), Array.from(puts.keys(), String));
});

test("resolves a put that is to survive a power cut once the -wal is synced, and shares syncs", async () => {
  using opened = openQueue({ durability: "power" });
  const { queue } = opened;
  const puts = Array.from({ length: 300 }, (_, n) => queue.putAsync(`${n}`));
  await Promise.all(puts);
  queue.put("after"); // commits as before, with a sync of its own
  assert.equal(queue.depth(), 301);
});

test("keeps what a closing queue has committed and not yet synced", async () => {
  using opened = openQueue({ durability: "power" });
  const puts = ["a", "b"].map((event) => opened.queue.putAsync(event));
  opened.queue.close();
  await Promise.all(puts);
  assert.deepEqual(bodies(opened.queue.file), ["a", "b"]);
});
