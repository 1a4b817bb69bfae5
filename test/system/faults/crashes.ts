import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../../support/eventually.ts";
import { type ReceivedBatch, ScriptedCollector } from "../../support/scripted_collector.ts";
import { CONCURRENCY, Crowd, EACH } from "./crowd.ts";
import { type Counts, countUp, type Fault, random } from "./fault.ts";

/** What is killed in a round: producers, publishers, or all of them. */
const VICTIMS: ReadonlyArray<(crowd: Crowd) => Promise<void>> = [
  (crowd) => crowd.replaceProducer(random(EACH)),
  (crowd) => crowd.replacePublisher(random(EACH)),
  async (crowd) => {
    for (let index = 0; index < EACH; index++)
      await Promise.all([crowd.killProducer(index), crowd.killPublisher(index)]);
    for (let index = 0; index < EACH; index++) {
      crowd.startProducer(index);
      crowd.startPublisher(index);
    }
  },
];

/** Batches with an event that had come before. */
function repeatsOf(batches: readonly ReceivedBatch[]): number {
  const seen = new Set<number>();
  return batches.filter(({ numbers }) => {
    const isRepeated = numbers.some((n) => seen.has(n));
    for (const n of numbers) seen.add(n);
    return isRepeated;
  }).length;
}

async function killAtRandom(rounds: number): Promise<Counts> {
  await using collector = await ScriptedCollector.open();
  collector.script = async () => {
    await sleep(random(100));
    return { status: 200 };
  };
  await using crowd = new Crowd(collector);
  await crowd.working();
  for (let round = 0; round < rounds; round++) {
    await sleep(random(250));
    await VICTIMS[round % VICTIMS.length]!(crowd);
  }
  for (let index = 0; index < EACH; index++) await crowd.killProducer(index);

  await eventually("an empty queue", () => crowd.spool.queue.depth() === 0);
  assert.equal(crowd.spool.integrity(), "ok");
  assert.deepEqual(crowd.spool.leases(), [], "no lease is left");
  const inFlight = crowd.publisherKills * CONCURRENCY;
  const repeats = repeatsOf(collector.batches);
  assert.ok(repeats <= inFlight, `${repeats} batches came again, and ${inFlight} were in flight at most`);
  return countUp(crowd.put, collector);
}

export const CRASHES: readonly Fault[] = [
  { name: "kill -9 of producers, publishers, all", rounds: 120, quickRounds: 6, run: killAtRandom },
];
