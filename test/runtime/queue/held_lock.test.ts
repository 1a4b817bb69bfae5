import assert from "node:assert/strict";
import { dirname } from "node:path";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { EventQueueFullError, EventStorageError } from "../../../src/errors.ts";
import { EventQueue, type EventQueueOptions } from "../../../src/queue/event_queue.ts";
import { Outbox } from "../../../src/queue/outbox.ts";
import { type Program, start } from "../../support/processes.ts";
import { SQLITE_LIBRARIES } from "../../support/sqlite_libraries.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const LIMIT = { timeout: 300_000 };
const text = (event: string): Uint8Array => new TextEncoder().encode(event);

/** A process that holds the write lock of a file. */
async function hold(file: string): Promise<Program & { release(): Promise<unknown> }> {
  const program = start("test/support/programs/lock_holder.ts", [file]);
  await program.line(/held/);
  return {
    ...program,
    release: () => {
      program.child.stdin!.end();
      return program.ended;
    },
  };
}

function openQueue(options: EventQueueOptions): { queue: EventQueue<string> } & Disposable {
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

const isLocked = (error: unknown): boolean => {
  assert.ok(error instanceof EventStorageError);
  assert.match(error.code, /^SQLITE_BUSY/);
  assert.match(error.message, /stayed locked by another process at every attempt for \d/);
  return true;
};

/** Whether a put to a locked file fails after a wait, not at once. */
const waitsFor =
  (timeoutMs: number) =>
  (put: () => unknown): boolean => {
    const startedAtMs = performance.now();
    assert.throws(put, EventStorageError);
    return performance.now() - startedAtMs > timeoutMs / 2;
  };

/** Counts the turns that the event loop has until `work` ends. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let isDone = false;
  void work.finally(() => {
    isDone = true;
  });
  let turns = 0;
  for (; !isDone; turns++) await nextTurn();
  return turns;
}

for (const stopped of [false, true]) {
  const holder = stopped ? "a stopped process" : "another process";

  test(`puts wait once for a lock that ${holder} keeps, and work again when it is free`, LIMIT, async () => {
    using opened = openQueue({ busyTimeoutMs: 1_000 });
    const { queue } = opened;
    await using process = await hold(queue.file);
    if (stopped) process.signal("SIGSTOP");

    const puts = Array.from({ length: 30 }, () => () => queue.put("x"));
    const waited = [...puts, () => queue.putMany(["x", "y"])].filter(waitsFor(1_000));
    assert.ok(waited.length < 10, `${waited.length} of 31 have waited`);

    if (stopped) process.signal("SIGCONT");
    await process.release();
    queue.put("a");
    queue.putMany(["b", "c"]);
    assert.equal(queue.depth(), 3);
  });

  test(`grouped puts wait for ${holder} without stopping the event loop`, LIMIT, async () => {
    using opened = openQueue({ busyTimeoutMs: 1_000 });
    const { queue } = opened;
    await using process = await hold(queue.file);
    if (stopped) process.signal("SIGSTOP");

    const puts = Array.from({ length: 500 }, (_, n) => queue.putAsync(`e${n}`));
    const results = Promise.allSettled(puts);
    assert.ok((await turnsDuring(results)) > 100, "the event loop has its turns");
    for (const result of await results) isLocked((result as PromiseRejectedResult).reason);
    assert.equal(queue.depth(), 0);
  });
}

test("stores grouped puts in order once the lock is free", LIMIT, async () => {
  using opened = openQueue({ busyTimeoutMs: 30_000 });
  const { queue } = opened;
  await using process = await hold(queue.file);
  const order: number[] = [];
  const put = (n: number) => queue.putAsync(`e${n}`).then(() => order.push(n));
  const puts = Array.from({ length: 250 }, (_, n) => put(n));
  await nextTurn();
  await nextTurn();
  puts.push(...Array.from({ length: 50 }, (_, n) => put(250 + n)));
  assert.equal(queue.depth(), 0);
  await process.release();
  await Promise.all(puts);
  assert.deepEqual(
    order,
    Array.from({ length: 300 }, (_, n) => n),
  );
  assert.equal(queue.depth(), 300);
});

test(
  "grouped puts wait for a lock after the event loop was busy for longer than they may wait",
  LIMIT,
  async () => {
    using opened = openQueue({ busyTimeoutMs: 3_000 });
    const { queue } = opened;
    await using process = await hold(queue.file);
    const put = queue.putAsync("x");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_200); // a service that computes
    process.child.stdin!.end();
    await put;
    assert.equal(queue.depth(), 1);
  },
);

test("closing a queue settles what waits for a lock", LIMIT, async () => {
  using opened = openQueue({ busyTimeoutMs: 100 });
  await using _ = await hold(opened.queue.file);
  const results = Promise.allSettled(Array.from({ length: 1_000 }, () => opened.queue.putAsync("x")));
  await nextTurn();
  opened.queue.close();
  for (const result of await results) isLocked((result as PromiseRejectedResult).reason);
});

test("a queue that cannot change its cap for a lock does not stay open", LIMIT, async () => {
  using opened = openQueue({});
  await using _ = await hold(opened.queue.file);
  const directory = dirname(opened.queue.file);
  assert.throws(() => new EventQueue("main", text, { directory, maxEvents: 5, busyTimeoutMs: 20 }), isLocked);
});

test("rejects grouped puts for which the queue has no room before it stores any", async () => {
  using opened = openQueue({ maxEvents: 100 });
  const { queue } = opened;
  queue.putMany(Array.from({ length: 40 }, () => "x"));
  let rejected = 0;
  const puts = Array.from({ length: 10_000 }, () => queue.putAsync("y"));
  for (const put of puts) put.catch(() => rejected++);
  await Promise.resolve();
  await Promise.resolve();
  assert.deepEqual([rejected, queue.depth()], [9_940, 40], "rejected, and nothing is stored yet");

  const results = await Promise.allSettled(puts);
  const { reason } = results.at(-1) as PromiseRejectedResult;
  assert.ok(reason instanceof EventQueueFullError);
  assert.deepEqual([reason.size, reason.limit, reason.unit], [100, 100, "events"]);
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 60);
  assert.equal(queue.depth(), 100);
});

test("takes grouped puts again when the publisher has made room", async () => {
  using opened = openQueue({ maxEvents: 10 });
  const { queue } = opened;
  const fill = () => Promise.allSettled(Array.from({ length: 12 }, () => queue.putAsync("y")));
  const stored = async () => (await fill()).filter(({ status }) => status === "fulfilled").length;
  assert.equal(await stored(), 10);
  assert.equal(await stored(), 0);
  using other = new EventQueue("main", text, { directory: dirname(queue.file), maxEvents: 15 });
  assert.equal(await stored(), 5);
  assert.equal(other.depth(), 15);
});

test("bounds the memory of grouped puts that wait", LIMIT, async () => {
  using opened = openQueue({ maxEvents: 10_000_000, busyTimeoutMs: 100 });
  const { queue } = opened;
  await using program = start("test/support/programs/many_puts.ts", [dirname(queue.file)]);
  const line = await program.line(/"grown_mb"/);
  const { grown_mb, stored, rejected, unit } = JSON.parse(line) as Record<string, number | string>;
  assert.equal(Number(stored) + Number(rejected), 300_000);
  assert.equal(unit, "bytes");
  assert.ok(Number(stored) > 10_000, `${stored} are stored`);
  assert.equal(queue.depth(), stored);
  assert.ok(Number(grown_mb) < 330, `${grown_mb} MB more`);
});

for (const { name, open } of SQLITE_LIBRARIES) {
  test(
    `${name}: an outbox waits once for a lock that is kept, and changes no busy_timeout`,
    LIMIT,
    async () => {
      using directory = temporaryDirectory();
      const file = `${directory.path}/shop.db`;
      const db = open(file);
      db.exec("PRAGMA journal_mode = WAL");
      db.prepare("PRAGMA busy_timeout = 1000").get();
      const outbox = new Outbox(db, text);
      await using process = await hold(file);
      const puts = Array.from({ length: 15 }, () => () => outbox.put("x"));
      const transactions = puts.map((put) => () => outbox.transaction(put));
      const waited = [...puts, ...transactions].filter(waitsFor(1_000));
      assert.ok(waited.length < 10, `${waited.length} of 30 have waited`);
      outbox.close(); // counts what was rejected, if it can
      assert.deepEqual(Object.values(db.prepare("PRAGMA busy_timeout").get() as object), [1000]);

      await process.release();
      using again = new Outbox(db, text);
      again.put("a");
      again.transaction(() => again.put("b"));
      assert.equal(again.depth(), 2);
      db.close();
    },
  );
}
