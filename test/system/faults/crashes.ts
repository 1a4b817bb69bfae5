import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../../support/eventually.ts";
import { numbersFrom, type ReceivedBatch, ScriptedCollector } from "../../support/scripted_collector.ts";
import { serveHttp } from "../../support/servers.ts";
import { Spool } from "../../support/spool.ts";
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

/** The settings of `destination = http`: lines of an event's id and the event. A killed publisher's lease is short. */
const HTTP = {
  destination: "http",
  "http.body": "template",
  "http.template.event": '{"id":"{id}","event":{event}}\\n',
  "http.compression": "none",
  "http.timeout": "1s",
  "batch.max_events": 20,
  "publisher.concurrency": CONCURRENCY,
};

const PUT_PER_ROUND = 200;

/** Publishers with `destination = http` are killed while the endpoint stores slowly, or stores and closes the connection. */
async function killOverHttp(rounds: number): Promise<Counts> {
  using spool = new Spool();
  const ids = new Map<number, string>();
  const renamed: number[] = [];
  let stored = 0;
  await using endpoint = await serveHttp(async (response, { body }) => {
    for (const line of body.toString().trim().split("\n")) {
      const { id, event } = JSON.parse(line) as { id: string; event: { n: number } };
      if ((ids.get(event.n) ?? id) !== id) renamed.push(event.n);
      ids.set(event.n, id);
      stored++;
    }
    await sleep(random(20));
    if (random(10) === 0) response.socket?.destroy();
    else response.end();
  });
  const publish = () =>
    spool.quickPublisher({ leaseMarginMs: 100, backoffMaxMs: 1_000 }, { ...HTTP, "http.url": endpoint.url });
  for (let round = 0; round < rounds; round++) {
    spool.put(PUT_PER_ROUND);
    const received = endpoint.requests.length;
    await using publisher = publish();
    await eventually("a request", () => endpoint.requests.length > received);
    await sleep(random(30));
    publisher.signal("SIGKILL");
    await publisher.ended;
  }
  await using _publisher = publish();
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  const put = numbersFrom(1, rounds * PUT_PER_ROUND);
  const lost = put.filter((n) => !ids.has(n)).length;
  assert.deepEqual(renamed, [], "an event has the same id each time");
  assert.equal(spool.integrity(), "ok");
  assert.deepEqual(spool.leases(), [], "no lease is left");
  return {
    put: put.length,
    delivered: ids.size,
    duplicates: stored - ids.size,
    dead: spool.deadLetters().length,
    lost,
  };
}

export const CRASHES: readonly Fault[] = [
  { name: "kill -9 of producers, publishers, all", rounds: 120, quickRounds: 6, run: killAtRandom },
  { name: "kill -9 of publishers over HTTP", rounds: 60, quickRounds: 2, run: killOverHttp },
];
