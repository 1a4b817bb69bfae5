import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { heldBack, numbersFrom, ScriptedCollector } from "../../support/scripted_collector.ts";
import { publishing, Spool, stop } from "../../support/spool.ts";

test("two publishers share a queue's work, and send no event twice", { timeout: 300_000 }, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  const third = Promise.withResolvers<void>();
  collector.script = async (_, nth) => {
    if (nth === 2) third.resolve();
    await third.promise; // each has two requests in flight at most, so they are of both publishers
    return { status: 200 };
  };
  const settings = {
    "collector.hostname": `127.0.0.1:${collector.port}`,
    "batch.max_bytes": "110kB",
    "publisher.concurrency": 2,
  };
  await using one = spool.publisher(settings);
  await using two = spool.publisher(settings);
  await Promise.all([publishing(one), publishing(two)]);
  for (let put = 0; put < 4; put++) spool.put(100, { text: "x".repeat(10_000) });

  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.deepEqual(await Promise.all([stop(one), stop(two)]), [0, 0]);
  const delivered = await Promise.all(
    [one, two].map(async (publisher) => {
      const line = await publisher.line(/"Stopped: /);
      return (JSON.parse(line) as { properties: { delivered: number } }).properties.delivered;
    }),
  );
  assert.ok(Math.min(...delivered) > 0, `they delivered ${delivered.join(" and ")}`);
  assert.equal(delivered[0]! + delivered[1]!, 400);
  assert.deepEqual(
    collector.acceptedNumbers.toSorted((a, b) => a - b),
    numbersFrom(1, 400),
  );
});

test("sends no batch of its own again while it is in flight, though its lease ran out", {
  timeout: 300_000,
}, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  const held = heldBack();
  collector.script = held.script;
  await using publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });
  spool.put(10);
  await eventually("a batch in flight", () => collector.batches.length === 1);

  spool.expireLeases(); // as a clock that jumps ahead does
  spool.put(1);
  await eventually("the next batch", () => collector.batches.length === 2);
  held.release();
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.deepEqual(collector.acceptedNumbers, numbersFrom(1, 11));
  assert.equal(await stop(publisher), 0);
});
