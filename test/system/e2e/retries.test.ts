import assert from "node:assert/strict";
import { test } from "node:test";
import Database from "better-sqlite3";
import { eventually } from "../../support/eventually.ts";
import {
  ACCEPT,
  HANG,
  numbersFrom,
  type Script,
  ScriptedCollector,
} from "../../support/scripted_collector.ts";
import { freePorts } from "../../support/servers.ts";
import { addressOf, publishing, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 600_000 };

/** Three of them fill a batch of the smallest size. */
const THIRD = { text: "x".repeat(30_000) };

/** Small batches, one after the other. */
const IN_ORDER = { "publisher.concurrency": 1, "batch.max_bytes": "110kB" };

test(
  "sends again, in order, what 408, 425, 429, 500 and 503 answered, and loses nothing",
  LIMIT,
  async () => {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    const statuses = [503, 200, 408, 200, 500, 200, 425, 200, 429];
    collector.script = (_, nth) => ({ status: statuses[nth] ?? 200 });
    spool.put(18, THIRD);
    await using publisher = spool.publisher({
      "collector.hostname": `127.0.0.1:${collector.port}`,
      ...IN_ORDER,
    });

    await eventually("an empty queue", () => spool.queue.depth() === 0);
    assert.deepEqual(collector.acceptedNumbers, numbersFrom(1, 18));
    assert.equal(collector.batches.length, 6 + 5);
    const [first, second] = collector.batches;
    assert.equal(first!.eventIds, second!.eventIds, "the same rows have the same ids on every attempt");
    assert.equal(await stop(publisher), 0);
  },
);

test("waits as long as Retry-After says", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  collector.script = (_, nth) =>
    nth === 0 ? { status: 429, headers: { "Retry-After": "1" } } : { status: 200 };
  spool.put(3);
  await using _publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });

  await eventually("an empty queue", () => spool.queue.depth() === 0);
  const [rejected, accepted] = collector.batches;
  assert.ok(accepted!.atMs - rejected!.atMs > 990, `it came ${accepted!.atMs - rejected!.atMs} ms later`);
  assert.deepEqual(collector.acceptedNumbers, [1, 2, 3]);
});

test("delivers once a collector that was down listens", LIMIT, async () => {
  using spool = new Spool();
  const [port = 0] = await freePorts(1);
  spool.put(3);
  await using publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${port}` });
  await publisher.line(/"The destination is unavailable/);
  assert.equal(spool.queue.depth(), 3);

  await using collector = await ScriptedCollector.open({ port });
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.deepEqual(collector.acceptedNumbers, [1, 2, 3]);
});

test("gives up on an answer after collector.timeout, and sends again", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  collector.script = (batch, nth) => (nth === 0 ? HANG : ACCEPT)(batch, nth);
  spool.put(3);
  await using _publisher = spool.publisher({
    "collector.hostname": `127.0.0.1:${collector.port}`,
    "collector.timeout": "300ms",
  });

  await eventually("an empty queue", () => spool.queue.depth() === 0);
  const [unanswered, ...again] = collector.batches;
  assert.equal(unanswered!.status, undefined);
  assert.equal(again.at(-1)!.status, 200); // on a busy machine, not each answer comes in time
  for (const { numbers } of collector.batches) assert.deepEqual(numbers, [1, 2, 3]);
});

test("keeps the events and calls for help on 401, 403, 404 and 302, until it is fixed", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  await using publisher = spool.publisher({
    "collector.hostname": `127.0.0.1:${collector.port}`,
    "admin.listen": "127.0.0.1:0",
  });
  const health = new URL("/health", await addressOf(publisher));

  for (const status of [401, 403, 404, 302]) {
    const Location = `http://127.0.0.1:${collector.port}/elsewhere`;
    collector.script = (): ReturnType<Script> => ({ status, headers: { Location }, body: "go away" });
    spool.put(1);
    await eventually(`failing health that tells of ${status}`, async () => {
      const response = await fetch(health);
      const { status: word, last_error: problem } = (await response.json()) as Health;
      if (response.status !== 503 || word !== "failing" || problem.kind !== "misconfigured") return false;
      return problem.message === `the destination responded with ${status}: go away`;
    });
    assert.equal(spool.queue.depth(), 1);
    collector.script = ACCEPT;
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    await eventually("good health", async () => (await fetch(health)).status === 200);
  }
  assert.deepEqual(collector.acceptedNumbers, [1, 2, 3, 4]);
  assert.deepEqual(spool.deadLetters(), []);
  assert.ok(collector.batches.every(({ path }) => path === "/v2j") && collector.problems.length === 0);
});

interface Health {
  readonly status: string;
  readonly last_error: { readonly kind: string; readonly message: string };
}

test("keeps what the real collector rejects for a wrong key until the key is right", LIMIT, async () => {
  using spool = new Spool();
  await using collector = spool.collector();
  const settings = { "collector.hostname": (await addressOf(collector)).host };
  spool.put(3);
  await using wrong = spool.publisher({ ...settings, "key.secret": "d3Jvbmc=" });
  await wrong.line(/its address or our key is wrong.*403/);
  assert.equal(await stop(wrong), 0);
  assert.equal(spool.queue.depth(), 3);

  await using right = spool.publisher(settings);
  await publishing(right);
  await eventually("an empty queue", () => spool.queue.depth() === 0);
});

test(
  "sends a batch once, though the queue's file was locked for seconds when its answer came",
  LIMIT,
  async () => {
    using spool = new Spool();
    const shell = new Database(spool.queue.file);
    await using collector = await ScriptedCollector.open();
    collector.script = () => {
      shell.exec("BEGIN IMMEDIATE");
      return { status: 200 };
    };
    spool.put(10);
    await using publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });
    await publisher.line(/The queue file fails.*SQLITE_BUSY/);
    shell.exec("COMMIT");
    shell.close();
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    assert.deepEqual(collector.acceptedNumbers, numbersFrom(1, 10));
    assert.equal(await stop(publisher), 0);
  },
);
