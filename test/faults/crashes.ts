import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../support/eventually.ts";
import { type Program, start } from "../support/processes.ts";
import { type ReceivedBatch, ScriptedCollector } from "../support/scripted_collector.ts";
import { Spool } from "../support/spool.ts";
import { type Counts, countUp, type Fault, random } from "./fault.ts";

const PUTS_PER_SECOND = 1_000;
const CONCURRENCY = 4;
const EACH = 2;

/** The numbers that one life of a producer may use. */
const NUMBERS = 1_000_000;

/** Producers and publishers that use one queue, and are killed and started again. */
class Crowd implements AsyncDisposable {
  readonly spool = new Spool();
  readonly collector: ScriptedCollector;
  publisherKills = 0;
  readonly #producers: Program[] = [];
  readonly #publishers: Program[] = [];
  #lives = 0;
  /** All producers there ever were: what they printed is what was put. */
  readonly #everyProducer: Program[] = [];

  constructor(collector: ScriptedCollector) {
    this.collector = collector;
    for (let index = 0; index < EACH; index++) {
      this.startProducer(index);
      this.startPublisher(index);
    }
  }

  startProducer(index: number): void {
    const first = String(++this.#lives * NUMBERS);
    const args = [this.spool.directory, first, String(PUTS_PER_SECOND)];
    const producer = start("test/support/programs/reporting_producer.ts", args);
    this.#producers[index] = producer;
    this.#everyProducer.push(producer);
  }

  startPublisher(index: number): void {
    this.#publishers[index] = this.spool.publisher({
      "collector.hostname": `127.0.0.1:${this.collector.port}`,
      "collector.timeout": "1s", // a lease of a killed publisher runs out after six seconds
      "publisher.concurrency": CONCURRENCY,
    });
  }

  async killProducer(index: number): Promise<void> {
    this.#producers[index]!.signal("SIGKILL");
    await this.#producers[index]!.ended;
  }

  async killPublisher(index: number): Promise<void> {
    this.publisherKills++;
    this.#publishers[index]!.signal("SIGKILL");
    await this.#publishers[index]!.ended;
  }

  /** Those whose put returned, as the producers told. */
  get put(): number[] {
    return this.#everyProducer.flatMap(({ stdout }) => stdout.map(Number));
  }

  /** Whether all that run have come to work. */
  async working(): Promise<void> {
    await Promise.all(this.#producers.map((producer) => producer.line(/^\d+$/)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of [...this.#everyProducer, ...this.#publishers]) await program[Symbol.asyncDispose]();
    this.spool[Symbol.dispose]();
  }
}

/** What is killed in a round: producers, publishers, or all of them. */
const VICTIMS: ReadonlyArray<(crowd: Crowd) => Promise<void>> = [
  async (crowd) => {
    const index = random(EACH);
    await crowd.killProducer(index);
    crowd.startProducer(index);
  },
  async (crowd) => {
    const index = random(EACH);
    await crowd.killPublisher(index);
    crowd.startPublisher(index);
  },
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
