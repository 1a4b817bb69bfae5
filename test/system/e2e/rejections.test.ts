import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { namedIds, numbersFrom, type Script, ScriptedCollector } from "../../support/scripted_collector.ts";
import { addressOf, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 600_000 };

/** Rejects a batch for its first poisoned event, with the status that the poison names. */
const REFUSE_POISON: Script = ({ events }) => {
  const poisoned = events.find(({ poison }) => poison !== undefined);
  if (poisoned === undefined) return { status: 200 };
  return { status: Number(poisoned.poison), body: `event ${poisoned.n} is poison` };
};

test(
  "makes a dead letter of the one event at fault of each batch rejected by 400, 413 or 422, and delivers all others once",
  LIMIT,
  async () => {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    collector.script = REFUSE_POISON;
    for (const poison of [400, 413, 422]) {
      spool.put(20);
      spool.put(1, { poison });
      spool.put(12);
    }
    spool.put(60, { text: "x".repeat(30_000) });
    await using publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });

    await eventually("an empty queue", () => spool.queue.depth() === 0);
    assert.deepEqual(spool.deadLetters(), [
      { id: 21, body: '{"n":21,"poison":400}', status: 400, response: "event 21 is poison" },
      { id: 54, body: '{"n":54,"poison":413}', status: 413, response: "event 54 is poison" },
      { id: 87, body: '{"n":87,"poison":422}', status: 422, response: "event 87 is poison" },
    ]);
    const healthy = numbersFrom(1, 159).filter((n) => ![21, 54, 87].includes(n));
    assert.deepEqual(
      collector.acceptedNumbers.toSorted((a, b) => a - b),
      healthy,
    );
    for (const { eventIds, numbers } of collector.batches) assert.deepEqual(namedIds(eventIds), numbers);
    assert.equal(await stop(publisher), 0);
  },
);

test("delivers other batches while one is being halved", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  const { promise: later, resolve } = Promise.withResolvers<void>();
  collector.script = async (batch, nth) => {
    if (nth > 0 && batch.numbers.some((n) => n <= 8)) await later;
    return REFUSE_POISON(batch, nth);
  };
  spool.put(7);
  spool.put(1, { poison: 400 });
  await using _publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });
  await eventually("the two halves of the batch", () => collector.batches.length === 3);

  spool.put(5);
  await eventually("the events behind it", () => spool.queue.depth() === 8);
  assert.deepEqual(collector.acceptedNumbers, numbersFrom(9, 13));
  resolve();
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.deepEqual(
    spool.deadLetters().map(({ id }) => id),
    [8],
  );
});

test(
  "cuts batches down to what a collector with a smaller limit takes, and loses nothing",
  LIMIT,
  async () => {
    using spool = new Spool();
    await using collector = spool.collector({ max_body_size: "100kB" });
    const { host } = await addressOf(collector);
    spool.put(40, { text: "x".repeat(10_000) });
    await using _publisher = spool.publisher({ "collector.hostname": host });

    await eventually("an empty queue", () => spool.queue.depth() === 0);
    const lines = readFileSync(spool.collected, "utf8").trimEnd().split("\n");
    const numbers = lines.map((line) => (JSON.parse(line) as { n: number }).n);
    assert.deepEqual(
      numbers.toSorted((a, b) => a - b),
      numbersFrom(1, 40),
    );
    assert.deepEqual(spool.deadLetters(), []);
  },
);
