import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../../support/eventually.ts";
import { start } from "../../support/processes.ts";
import {
  ACCEPT,
  HANG,
  namedIds,
  numbersFrom,
  type ReceivedBatch,
  ScriptedCollector,
} from "../../support/scripted_collector.ts";
import { publishing, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 600_000 };
const KILLS = 3;
const CONCURRENCY = 4;

test(
  "loses nothing when the publisher is killed at random moments, and repeats at most what was in flight",
  LIMIT,
  async () => {
    await Promise.all([killPublishers(), killPublishers()]);
  },
);

/** Small batches. None of their requests times out, or it would come again. */
const SMALL = { "batch.max_bytes": "110kB", "publisher.concurrency": CONCURRENCY };

async function killPublishers(): Promise<void> {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  collector.script = async () => {
    await sleep(Math.random() * 30);
    return { status: 200 };
  };
  const settings = { ...SMALL, "collector.hostname": `127.0.0.1:${collector.port}` };
  for (let kill = 0; kill < KILLS; kill++) {
    spool.put(60, { text: "x".repeat(10_000) });
    await using publisher = spool.publisher(settings);
    const seen = collector.batches.length;
    await eventually("a batch", () => collector.batches.length > seen);
    await sleep(Math.random() * 60);
    assert.equal(await stop(publisher, "SIGKILL"), "SIGKILL");
    spool.expireLeases();
  }

  await using publisher = spool.publisher(settings);
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.equal(await stop(publisher), 0);
  assertNothingLost(collector);
  assert.deepEqual(spool.leases(), []);
}

function assertNothingLost({ batches, acceptedNumbers }: ScriptedCollector): void {
  assert.deepEqual(
    [...new Set(acceptedNumbers)].toSorted((a, b) => a - b),
    numbersFrom(1, KILLS * 60),
  );
  for (const { eventIds, numbers } of batches) assert.deepEqual(namedIds(eventIds), numbers);
  const repeated = repeatsOf(batches);
  assert.ok(repeated.length <= KILLS * CONCURRENCY, `${repeated.length} batches came again`);
}

/** The batches with an event that had come before. Each must be the very batch that came before, by its name too. */
function repeatsOf(batches: readonly ReceivedBatch[]): ReceivedBatch[] {
  const names = new Map<number, string>();
  return batches.filter(({ numbers, eventIds }) => {
    const isRepeated = numbers.some((n) => names.has(n));
    for (const n of numbers) {
      if (isRepeated) assert.equal(names.get(n), eventIds);
      names.set(n, eventIds);
    }
    return isRepeated;
  });
}

test(
  "waits, at concurrency 1, for the lease of a killed publisher, so that order is kept",
  LIMIT,
  async () => {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    collector.script = HANG;
    spool.put(3);
    const settings = { "collector.hostname": `127.0.0.1:${collector.port}`, "publisher.concurrency": 1 };
    await using killed = spool.publisher(settings);
    await eventually("a batch in flight", () => collector.batches.length === 1);
    await stop(killed, "SIGKILL");

    collector.script = ACCEPT;
    spool.put(2);
    await using next = spool.publisher(settings);
    await publishing(next);
    await sleep(200); // ten times batch.max_age
    assert.equal(collector.batches.length, 1, "nothing is sent while the lease holds");
    spool.expireLeases();
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    assert.deepEqual(collector.acceptedNumbers, numbersFrom(1, 5));
  },
);

test(
  "keeps order at concurrency 1, though it was killed with the first half of a rejected batch in flight",
  LIMIT,
  async () => {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    collector.script = (batch, nth) => (nth === 0 ? { status: 413 } : HANG(batch, nth));
    spool.put(10);
    const settings = { "collector.hostname": `127.0.0.1:${collector.port}`, "publisher.concurrency": 1 };
    await using killed = spool.publisher(settings);
    await eventually("the first half in flight", () => collector.batches.length === 2);
    await stop(killed, "SIGKILL");

    collector.script = ACCEPT;
    await using next = spool.publisher(settings);
    await publishing(next);
    await sleep(200); // the second half is free all the while
    assert.deepEqual(collector.acceptedNumbers, [], "nothing overtakes the half whose lease holds");
    spool.expireLeases();
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    assert.deepEqual(collector.acceptedNumbers, numbersFrom(1, 10));
  },
);

test("delivers every event whose put returned before the producer was killed", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  await using producer = start("test/support/programs/reporting_producer.ts", [spool.directory]);
  await producer.line(/^500$/);
  assert.equal(await stop(producer, "SIGKILL"), "SIGKILL");
  const returned = producer.stdout.length;

  await using publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  const delivered = collector.acceptedNumbers.toSorted((a, b) => a - b);
  assert.deepEqual(delivered, numbersFrom(1, delivered.length));
  // The last put may have been committed and killed before it returned, or before its number was printed.
  assert.ok([returned, returned + 1].includes(delivered.length), `${delivered.length} of ${returned} came`);
  assert.equal(await stop(publisher), 0);
});
