/**
 * `bun run demo`: an event from put to collector, in real processes over real sockets; the publisher
 * is killed half-way. All numbers are counted. `--requests N` makes it longer or shorter.
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { EventQueue, serializeJsonEvent } from "../../src/mod.ts";
import { LEASE_MARGIN_MS } from "../../src/wire/retry_after.ts";
import { Children } from "./children.ts";
import { DeliveredEvents } from "./delivered_events.ts";
import { Progress } from "./progress.ts";
import { inSeconds, readCount, runDemo, temporaryDirectory } from "./run_demo.ts";
import { type Server, Servers } from "./servers.ts";

const REQUESTS = { standard: 6_000, min: 2, max: 1_000_000 };

/** The load: this many requests at once, and as many again after this time. 1,000 a second if the machine can. */
const BURST_REQUESTS = 25;
const BURST_MS = 25;

/** Short for the demo: the lease of a killed publisher expires after this and its margin. */
const COLLECTOR_TIMEOUT_MS = 1_000;
const LEASE_MS = COLLECTOR_TIMEOUT_MS + LEASE_MARGIN_MS;

/** How long the queue may take to empty after the last request: enough for a lease on a slow machine. */
const MAX_DRAIN_MS = 120_000;

const LOOK_MS = 20;

/** One run: the story that it prints, and the counts. */
class Demo implements Disposable {
  readonly #requests: number;
  readonly #servers: Servers;
  readonly #queue: EventQueue<unknown>;
  readonly #delivered: DeliveredEvents;
  readonly #progress: Progress;
  readonly #startedAtMs = performance.now();
  /** The uuids of the events that the service said it has put. */
  readonly #put = new Set<string>();
  #sent = 0;
  #killedAtMs = Number.NEGATIVE_INFINITY;

  /** @param requests how many are sent */
  constructor(requests: number, servers: Servers) {
    const { directory } = servers;
    this.#requests = requests;
    this.#servers = servers;
    this.#queue = new EventQueue("main", serializeJsonEvent, { directory }); // only to see its depth
    this.#delivered = new DeliveredEvents(servers.outputFile);
    this.#progress = new Progress(() => this.#describe());
  }

  /** Rejects with what went wrong. */
  async run(): Promise<void> {
    const half = Math.floor(this.#requests / 2);
    this.#say("Three processes: a service puts events, a publisher delivers them to a collector.");
    const [service, collector] = await Promise.all([
      this.#started(this.#servers.startService()),
      this.#started(this.#servers.startCollector()),
    ]);
    const publisher = await this.#started(this.#servers.startPublisher(collector));

    this.#say(`\nThe service gets ${this.#requests} requests. Each puts an event into the queue.`);
    await this.#send(half, service);
    this.#say("\nHalf of them are answered. The publisher says:");
    await this.#showHealthAndDepth(publisher);

    const [successor] = await Promise.all([
      this.#replacePublisher(publisher, collector),
      this.#send(this.#requests - half, service),
    ]);
    await this.#drain();
    this.#say("\nThe queue is empty. The new publisher says:");
    await this.#showHealthAndDepth(successor);
    for (const { child } of [successor, service, collector]) await child.stop();
    this.#sumUp();
  }

  [Symbol.dispose](): void {
    this.#progress[Symbol.dispose]();
    this.#delivered[Symbol.dispose]();
    this.#queue.close();
  }

  async #started(starting: Promise<Server>): Promise<Server> {
    const server = await starting;
    this.#say(`  ${server.child.name.padEnd(9)}  ${server.address}  (process ${server.child.pid})`);
    return server;
  }

  async #send(count: number, service: Server): Promise<void> {
    for (let left = count; left > 0; left -= BURST_REQUESTS) {
      const burst = Array.from({ length: Math.min(left, BURST_REQUESTS) }, () => this.#view(service));
      await Promise.all([sleep(BURST_MS), ...burst]);
    }
  }

  async #view(service: Server): Promise<void> {
    const article = (this.#sent++ % 100) + 1;
    const answer = await fetch(`${service.address}/articles/${article}/views`, { method: "POST" });
    if (answer.status !== 201)
      throw new Error(`The service answered ${answer.status}: ${await answer.text()}`);
    const { uuid } = (await answer.json()) as { uuid: string };
    this.#put.add(uuid);
  }

  /** The worst moment for a crash: a batch is in flight, and its result is unknown. */
  async #replacePublisher(publisher: Server, collector: Server): Promise<Server> {
    collector.child.pause();
    this.#say("\nThe collector is paused (SIGSTOP), so that events stay on their way ...");
    const leased = await untilLeased(publisher);
    await publisher.child.kill();
    this.#killedAtMs = performance.now();
    collector.child.resume();
    this.#say(`The publisher is killed (SIGKILL) with ${leased} events on their way. The collector goes on.`);
    const successor = await this.#started(this.#servers.startPublisher(collector));
    this.#say(
      `A new publisher delivers what comes. Those ${leased} are leased to the dead one:\n` +
        `its lease runs out in ${inSeconds(this.#leaseLeftMs())}, then they are sent again.`,
    );
    return successor;
  }

  async #drain(): Promise<void> {
    const giveUpAtMs = performance.now() + MAX_DRAIN_MS;
    while (this.#queue.depth() > 0) {
      if (performance.now() > giveUpAtMs)
        throw new Error(
          `After ${inSeconds(MAX_DRAIN_MS)} there are still ${this.#queue.depth()} events in the queue.`,
        );
      await sleep(LOOK_MS);
    }
  }

  async #showHealthAndDepth(publisher: Server): Promise<void> {
    for (const path of ["/health", "/depth"]) {
      const answer = await fetch(publisher.address + path);
      this.#say(`  GET ${path}  ${answer.status}  ${await answer.text()}`);
    }
  }

  #sumUp(): void {
    const { distinct, duplicates } = this.#delivered.update();
    const lost = [...this.#put].filter((uuid) => !this.#delivered.has(uuid)).length;
    this.#say(`
  ${this.#sent} requests, ${this.#put.size} of them answered "201 Created"
  ${this.#put.size} events put
  ${distinct} events delivered, told apart by their uuid
  ${duplicates} delivered twice: ${DUPLICATES[duplicates > 0 ? "some" : "none"]}
  ${lost} lost`);
    if (lost > 0) throw new Error(`${lost} events were put and are not delivered.`);
    this.#say(`Every event arrived. It took ${inSeconds(performance.now() - this.#startedAtMs)}.`);
  }

  #describe(): string {
    const { distinct } = this.#delivered.update();
    const leaseLeftMs = this.#leaseLeftMs();
    const counts = `put ${this.#put.size}  delivered ${distinct}  depth ${this.#queue.depth()}`;
    const lease = leaseLeftMs > 0 ? `  lease runs out in ${inSeconds(leaseLeftMs)}` : "";
    return `  ${inSeconds(performance.now() - this.#startedAtMs)}  ${counts}${lease}`;
  }

  /** An upper bound: the killed publisher claimed its lease shortly before its end. */
  #leaseLeftMs(): number {
    return this.#killedAtMs + LEASE_MS - performance.now();
  }

  #say(text: string): void {
    this.#progress.say(text);
  }
}

const DUPLICATES = {
  some: "stored, but the publisher died, or gave up, before it heard so",
  none: "what was on its way had not been stored",
};

/** Resolves with the number of events in flight, once there are some. */
async function untilLeased(publisher: Server): Promise<number> {
  for (;;) {
    const answer = await fetch(`${publisher.address}/depth`);
    const { leased } = (await answer.json()) as { leased: number };
    if (leased > 0) return leased;
    await sleep(LOOK_MS);
  }
}

await runDemo(async (interrupted) => {
  const requests = readCount("requests", REQUESTS);
  using directory = temporaryDirectory();
  await using children = new Children({ ...process.env, EVENTSPOOL_DIR: directory.path, PORT: "0" });
  const servers = new Servers(children, {
    directory: directory.path,
    collectorTimeoutMs: COLLECTOR_TIMEOUT_MS,
  });
  using demo = new Demo(requests, servers);
  await Promise.race([demo.run(), children.failure, interrupted]);
});
