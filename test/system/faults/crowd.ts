import { setTimeout as sleep } from "node:timers/promises";
import { type Program, start } from "../../support/processes.ts";
import type { ScriptedCollector } from "../../support/scripted_collector.ts";
import { Spool } from "../../support/spool.ts";

const PUTS_PER_SECOND = 1_000;

/** Batches that a publisher has in flight at most. */
export const CONCURRENCY = 4;

/** How many producers there are, and how many publishers. */
export const EACH = 2;

const QUICK = { leaseMarginMs: 1_000, backoffMaxMs: 1_000 };

/** The numbers that one life of a producer may use. */
const NUMBERS = 1_000_000;

/** Producers and publishers that use one queue, and are killed and started again. */
export class Crowd implements AsyncDisposable {
  readonly spool: Spool;
  readonly collector: ScriptedCollector;
  publisherKills = 0;
  readonly #producers: Program[] = [];
  readonly #publishers: Program[] = [];
  #lives = 0;
  /** All producers there ever were: what they printed is what was put. */
  readonly #everyProducer: Program[] = [];

  /** @param directory where the queue is, such as on a small disk; by default a directory of its own */
  constructor(collector: ScriptedCollector, directory?: string) {
    this.spool = new Spool(directory === undefined ? {} : { directory });
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
    const settings = {
      "collector.hostname": `127.0.0.1:${this.collector.port}`,
      "collector.timeout": "5s", // a busy collector is not asked again, and a lease of a killed publisher is short
      "publisher.concurrency": CONCURRENCY,
    };
    this.#publishers[index] = this.spool.quickPublisher(QUICK, settings);
  }

  async killProducer(index: number): Promise<void> {
    this.#producers[index]!.signal("SIGKILL");
    await this.#producers[index]!.ended;
  }

  async replaceProducer(index: number): Promise<void> {
    await this.killProducer(index);
    this.startProducer(index);
  }

  async replacePublisher(index: number): Promise<void> {
    await this.killPublisher(index);
    this.startPublisher(index);
  }

  async killPublisher(index: number): Promise<void> {
    this.publisherKills++;
    this.#publishers[index]!.signal("SIGKILL");
    await this.#publishers[index]!.ended;
  }

  /** Stops one of them for a while, as a debugger or a frozen machine does. */
  async freeze(index: number, durationMs: number): Promise<void> {
    const program = [...this.#producers, ...this.#publishers][index]!;
    program.signal("SIGSTOP");
    await sleep(durationMs);
    program.signal("SIGCONT");
  }

  /** Those whose put returned, as the producers told. */
  get put(): number[] {
    return this.#everyProducer.flatMap(({ stdout }) => stdout.map(Number).filter((n) => n > 0));
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
