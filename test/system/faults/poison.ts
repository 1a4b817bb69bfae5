import assert from "node:assert/strict";
import { eventually } from "../../support/eventually.ts";
import { ACCEPT, numbersFrom, type Script, ScriptedCollector } from "../../support/scripted_collector.ts";
import { addressOf, Spool, stop } from "../../support/spool.ts";
import { type Counts, countUp, type Fault, random, sumOf } from "./fault.ts";

const EVENTS = 10_000;
const ANSWER = "y".repeat(3_000);

/** What is kept of an answer, in bytes. */
const KEPT = 1_024;

/** How many dead letters a publisher allows before it holds the queue. */
const BURST = 10;

/** How often a publisher that is held tries again. */
const QUICK = { backoffMaxMs: 1_000 };

function deadIn(spool: Spool): number[] {
  return spool.deadLetters().map(({ id }) => id);
}

/** Some events among many are rejected by themselves. */
async function poison(status: number, poisoned: ReadonlySet<number>): Promise<Counts> {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  collector.script = ({ numbers }) =>
    numbers.some((n) => poisoned.has(n)) ? { status, body: ANSWER } : { status: 200 };
  spool.put(EVENTS, { text: "x".repeat(200) });
  await using publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });
  await eventually("an empty queue", () => spool.queue.depth() === 0);

  const dead = spool.deadLetters();
  assert.deepEqual(new Set(dead.map(({ id }) => id)), poisoned, "row n holds event n");
  for (const letter of dead)
    assert.deepEqual(
      [letter.status, letter.response.length],
      [status, KEPT],
      "the beginning of the response is kept",
    );
  assertFewRequests(collector, poisoned.size);
  assert.equal(await stop(publisher), 0);
  return countUp(numbersFrom(1, EVENTS), collector, deadIn(spool));
}

/** Each halving costs two requests: 2 log2(batch) for a poison event. */
function assertFewRequests({ batches }: ScriptedCollector, poisonCount: number): void {
  const largest = Math.max(...batches.map(({ numbers }) => numbers.length));
  const rejected = batches.filter(({ status }) => status !== 200).length;
  const allowed = poisonCount * (Math.ceil(Math.log2(largest)) + 1);
  assert.ok(rejected <= allowed, `${rejected} batches were rejected, and ${allowed} find them all`);
}

const ONE_POISON: Fault = {
  name: "one poison event in 10,000: 400, 413, 422",
  rounds: 9,
  quickRounds: 3,
  async run(rounds) {
    const counts: Counts[] = [];
    for (let round = 0; round < rounds; round++)
      counts.push(await poison([400, 413, 422][round % 3]!, new Set([1 + random(EVENTS)])));
    return sumOf(counts);
  },
};

const SOME_POISON: Fault = {
  name: "eight poison events at random places",
  rounds: 5,
  quickRounds: 1,
  async run(rounds) {
    const counts: Counts[] = [];
    for (let round = 0; round < rounds; round++)
      counts.push(await poison(422, new Set(Array.from({ length: 8 }, () => 1 + random(EVENTS)))));
    return sumOf(counts);
  },
};

/** A broken schema, a wrong version: the queue is held, and goes on by itself when that is mended. */
async function rejectEverything(status: number): Promise<Counts> {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  collector.script = () => ({ status, body: "no such schema" });
  spool.put(EVENTS);
  const settings = { "collector.hostname": `127.0.0.1:${collector.port}`, "admin.listen": "127.0.0.1:0" };
  await using publisher = spool.quickPublisher(QUICK, settings);
  const health = new URL("/health", await addressOf(publisher));
  await publisher.line(/rejects too many events/);
  await eventually("failing health that says why", async () => {
    const report = (await (await fetch(health)).json()) as { status: string; reasons: string[] };
    return report.status === "failing" && /rejects too many events/.test(report.reasons.join());
  });
  assert.equal(spool.deadLetters().length, BURST);

  assert.equal(await stop(publisher), 0);
  await using again = spool.quickPublisher(QUICK, settings);
  await again.line(/rejects too many events/);
  assert.equal(spool.deadLetters().length, BURST, "a restart is no reason for more dead letters");

  collector.script = ACCEPT;
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.equal(await stop(again), 0);
  return countUp(numbersFrom(1, EVENTS), collector, deadIn(spool));
}

const ALL_POISON: Fault = {
  name: "every event rejected: 400, 413, 422",
  rounds: 3,
  quickRounds: 1,
  async run(rounds) {
    const counts: Counts[] = [];
    for (const status of [422, 400, 413].slice(0, rounds)) counts.push(await rejectEverything(status));
    return sumOf(counts);
  },
};

const LIMIT_BYTES = 100_000;

/** A collector, or a proxy before it, that takes smaller bodies than we send. */
const TOO_LARGE: Fault = {
  name: "413 for bodies above 100 kB",
  rounds: 3,
  quickRounds: 1,
  async run(rounds) {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    const takes: Script = ({ events }) => ({
      status: JSON.stringify(events).length > LIMIT_BYTES ? 413 : 200,
    });
    collector.script = takes;
    await using publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });
    for (let round = 0; round < rounds; round++) {
      spool.put(1_000, { text: "x".repeat(1_000) });
      await eventually("an empty queue", () => spool.queue.depth() === 0);
      const rejected = collector.batches.filter(({ status }) => status === 413).length;
      assert.ok(rejected <= 16, `${rejected} batches were too large, of which few are needed to learn it`);
    }
    assert.equal(await stop(publisher), 0);
    const counts = countUp(numbersFrom(1, 1_000 * rounds), collector, deadIn(spool));
    assert.deepEqual([counts.dead, counts.duplicates], [0, 0]);
    return counts;
  },
};

export const POISON: readonly Fault[] = [ONE_POISON, SOME_POISON, ALL_POISON, TOO_LARGE];
