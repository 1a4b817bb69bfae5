import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../../support/eventually.ts";
import { ACCEPT, HANG, heldBack, numbersFrom, ScriptedCollector } from "../../support/scripted_collector.ts";
import { addressOf, publishing, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 300_000 };

test(
  "finishes what is in flight on SIGTERM, claims nothing more, and exits 0 with no lease left",
  LIMIT,
  async () => {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    const held = heldBack();
    collector.script = held.script;
    spool.put(10);
    await using publisher = spool.publisher({
      "collector.hostname": `127.0.0.1:${collector.port}`,
      "publisher.grace": "50s",
    });
    await eventually("a batch in flight", () => collector.batches.length === 1);

    publisher.signal("SIGTERM");
    await publisher.line(/"Stopping: 1 batches in flight/);
    spool.put(5);
    await sleep(100); // longer than batch.max_age
    held.release();
    assert.equal(await publisher.ended, 0);
    assert.deepEqual(collector.acceptedNumbers, numbersFrom(1, 10));
    assert.equal(collector.batches.length, 1);
    assert.equal(spool.queue.depth(), 5, "what was put after the stop stays");
    assert.deepEqual(spool.leases(), []);
  },
);

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(
    `gives back what hangs when the grace time after ${signal} is over, for the next publisher`,
    LIMIT,
    async () => {
      using spool = new Spool();
      await using collector = await ScriptedCollector.open();
      collector.script = HANG;
      spool.put(10);
      const settings = {
        "collector.hostname": `127.0.0.1:${collector.port}`,
        "collector.timeout": "1h",
        "publisher.grace": "200ms",
      };
      await using publisher = spool.publisher(settings);
      await eventually("a batch in flight", () => collector.batches.length === 1);
      assert.equal(await stop(publisher, signal), 0);
      assert.equal(spool.queue.depth(), 10);
      const [lease] = spool.leases();
      assert.ok(lease !== undefined && lease.expires_at_ms <= Date.now(), "anyone may claim it");

      collector.script = ACCEPT;
      await using next = spool.publisher(settings);
      await eventually("an empty queue", () => spool.queue.depth() === 0);
      assert.deepEqual(collector.acceptedNumbers, numbersFrom(1, 10));
      assert.equal(collector.batches[1]!.eventIds, collector.batches[0]!.eventIds);
      assert.equal(await stop(next, signal), 0);
    },
  );
}

test("exits at once, with 1, on a second signal", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  collector.script = HANG;
  spool.put(1);
  await using publisher = spool.publisher({
    "collector.hostname": `127.0.0.1:${collector.port}`,
    "collector.timeout": "1h",
    "publisher.grace": "1h",
  });
  await eventually("a batch in flight", () => collector.batches.length === 1);
  publisher.signal("SIGTERM");
  await publisher.line(/"Stopping: 1 batches in flight/);
  assert.equal(await stop(publisher, "SIGINT"), 1);
  assert.equal(spool.queue.depth(), 1);
});

test("stops at once when it waits for a collector that is down, and keeps the events", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  collector.script = () => ({ status: 503, headers: { "Retry-After": "3600" } });
  spool.put(3);
  await using publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });
  await publisher.line(/"The destination is unavailable/);
  assert.equal(await stop(publisher), 0);
  assert.equal(spool.queue.depth(), 3);
});

test("stops when it is idle", LIMIT, async () => {
  using spool = new Spool();
  await using publisher = spool.publisher({ "collector.hostname": "127.0.0.1:9" });
  await publishing(publisher);
  assert.equal(await stop(publisher, "SIGINT"), 0);
  await publisher.line(/"Stopped: 0 events delivered, 0 still in the queue"/);
});

test("stops while a dashboard is open: its stream of updates ends by itself", LIMIT, async () => {
  using spool = new Spool();
  await using publisher = spool.publisher({
    "collector.hostname": "127.0.0.1:9",
    "admin.listen": "127.0.0.1:0",
  });
  const response = await fetch(new URL("/events", await addressOf(publisher)));
  assert.equal(response.status, 200);

  publisher.signal("SIGTERM");
  const updates = await response.text(); // rejects if the connection is cut
  assert.match(updates, /^data: \{/);
  assert.match(updates, /Not publishing/);
  assert.equal(await publisher.ended, 0);
});
