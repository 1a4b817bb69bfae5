import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { LoadBalancer } from "../../../examples/demo/load_balancer.ts";
import { eventually } from "../../support/eventually.ts";
import { KEY, KEY_BASE64 } from "../../support/keys.ts";
import { type NatsServer, NO_NATS, openNats, startNats } from "../../support/nats.ts";
import { type Program, start } from "../../support/processes.ts";
import { freePorts } from "../../support/servers.ts";
import { addressOf, publishing, Spool, stop } from "../../support/spool.ts";

const HOSTS = 3;
const BURST = 50;
/** How many events of a host are put at least. */
const EVENTS_EACH = 3_000;

/** At a port that nobody else gets: the balancer goes on to connect to one that was killed. */
async function startCollector(spool: Spool, server: NatsServer): Promise<Program> {
  const [port] = await freePorts(1);
  const file = spool.write("collector.ini", "event-collector", {
    listen: `127.0.0.1:${port}`,
    sink: "nats",
    "nats.servers": server.address,
    [`key.${KEY.name}`]: KEY_BASE64,
  });
  return start("src/commands/collector.ts", [file]);
}

async function hostOf(collector: Program): Promise<string> {
  return (await addressOf(collector)).host;
}

/** A service that puts until it is told to stop. */
class Load {
  put = 0;
  #isStopping = false;
  readonly #done: Promise<void>;

  constructor(spool: Spool, host: number) {
    this.#done = this.#run(spool, host);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#done;
  }

  async #run(spool: Spool, host: number): Promise<void> {
    while (!this.#isStopping || this.put < EVENTS_EACH) {
      spool.put(BURST, { host });
      this.put += BURST;
      await sleep(5);
    }
  }
}

test("three collectors, two of them killed under load: no event is lost, and none is in the stream twice", {
  skip: NO_NATS,
  timeout: 600_000,
}, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream({ name: "EVENTS", subjects: ["events.>"] });
  using hosts = new DisposableStack();
  const spools = Array.from({ length: HOSTS }, () => hosts.use(new Spool()));
  await using first = await startCollector(spools[0]!, server);
  await using second = await startCollector(spools[0]!, server);
  await using third = await startCollector(spools[0]!, server);
  const servers = await Promise.all([first, second, third].map(hostOf));
  await using balancer = await LoadBalancer.open(servers);
  await using publishers = new AsyncDisposableStack();
  const running = spools.map((spool) =>
    publishers.use(spool.publisher({ "collector.hostname": balancer.address })),
  );
  await Promise.all(running.map(publishing));

  const loads = spools.map((spool, host) => new Load(spool, host));
  const stored = async (): Promise<number> => (await client.jsm.streams.info("EVENTS")).state.messages;
  await eventually("the first events in the stream", async () => (await stored()) > HOSTS * BURST);
  await killBusy(first, { server, spools });
  const before = await stored();
  await eventually("events by way of the other two", async () => (await stored()) > before + HOSTS * BURST);
  await killBusy(second, { server, spools });
  await using restarted = await startCollector(spools[0]!, server);
  balancer.servers = [servers[2]!, await hostOf(restarted)];

  await Promise.all(loads.map((load) => load.stop()));
  await eventually("empty queues", () => spools.every(({ queue }) => queue.depth() === 0));
  for (const program of [...running, third, restarted]) assert.equal(await stop(program), 0);
  const total = loads.reduce((sum, { put }) => sum + put, 0);
  const names = (await client.read("EVENTS", total)).map(({ text }) => nameOf(text));
  const expected = loads.flatMap(({ put }, host) =>
    Array.from({ length: put }, (_, index) => `${host}-${index + 1}`),
  );
  assert.equal(names.length, expected.length, "as many as were put");
  assert.deepEqual(new Set(names), new Set(expected), "and each of them");
});

/**
 * Kills a collector at the worst moment: the stream does not answer, each publisher waits, and what the collector has
 * sent is stored after its death, though nobody is told so.
 */
async function killBusy(
  collector: Program,
  { server, spools }: { server: NatsServer; spools: readonly Spool[] },
): Promise<void> {
  await server.freeze();
  await eventually("batches on their way", () => spools.every((spool) => spool.leases().length > 0));
  await sleep(300); // they pass through the collectors, to where the stream does not answer
  await stop(collector, "SIGKILL");
  server.thaw();
}

function nameOf(text: string): string {
  const { host, n } = JSON.parse(text) as { host: number; n: number };
  return `${host}-${n}`;
}
