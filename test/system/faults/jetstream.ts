import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../../support/eventually.ts";
import { leaderOf, type NatsClient, NO_NATS, openNats, startCluster, startNats } from "../../support/nats.ts";
import { type Program, start } from "../../support/processes.ts";
import { publishing, Spool, stop } from "../../support/spool.ts";
import { type Counts, type Fault, random } from "./fault.ts";

/** How many events there are a round at least. */
const EVENTS_A_ROUND = 300;

/** In so many rounds a publisher is killed between a stream's answer and the removal from the queue. */
const ENOUGH_ROUNDS = 50;

/** Starts the real publisher, which takes the spool's queue to a stream. */
function startPublisher(spool: Spool, servers: string): Program {
  const file = spool.write("publisher.ini", "event-publisher:main", {
    destination: "nats",
    "nats.servers": servers,
    "nats.timeout": "1s",
    "batch.max_age": "20ms",
    "batch.max_bytes": "110000", // many batches, of which some are under way whenever it is killed
    "admin.listen": "off",
  });
  return start("src/commands/publisher.ts", ["--directory", spool.directory, file]);
}

/** Puts events for a moment, a few at a time, and returns how many. */
async function putForAMoment(spool: Spool, durationMs: number): Promise<number> {
  const endsAtMs = performance.now() + durationMs;
  let put = 0;
  do {
    const count = 1 + random(200);
    spool.put(count, { padding: "x".repeat(random(300)) });
    put += count;
    await sleep(5);
  } while (performance.now() < endsAtMs || put < EVENTS_A_ROUND);
  return put;
}

/**
 * Kills a publisher at random moments; the next one takes its leases over at once, as if their time were up. What
 * was stored and not yet removed from the queue is published again, and must not be stored again.
 */
async function killPublishers(rounds: number): Promise<Counts> {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream({ name: "EVENTS", subjects: ["events.>"] });
  let published = 0;
  client.nc.subscribe("events.>", { callback: () => void published++ }); // it hears what the stream drops, too
  using spool = new Spool();
  let put = 0;
  for (let round = 0; round < rounds; round++) {
    await using publisher = startPublisher(spool, server.address);
    await publishing(publisher);
    put += await putForAMoment(spool, random(100));
    await stop(publisher, "SIGKILL");
    spool.expireLeases();
  }
  await using last = startPublisher(spool, server.address);
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.equal(await stop(last), 0);
  const counts = await compare(client, spool, put);
  assert.ok(
    rounds < ENOUGH_ROUNDS || published > put,
    "some events were published again, or this shows nothing",
  );
  return counts;
}

/** Kills the leader of a replicated stream at random moments, and starts it again. */
async function killLeaders(rounds: number): Promise<Counts> {
  await using cluster = await startCluster();
  const { servers } = cluster;
  {
    await using client = await openNats(servers[0]!);
    await client.makeStream({ name: "EVENTS", subjects: ["events.>"], num_replicas: 3 });
  }
  using spool = new Spool();
  await using publisher = startPublisher(spool, servers.map(({ address }) => address).join(", "));
  await publishing(publisher);
  let put = 0;
  for (let round = 0; round < rounds; round++) {
    const leader = await leaderOf(servers, "EVENTS");
    const killing = sleep(random(100)).then(() => leader.kill());
    put += await putForAMoment(spool, 200);
    await killing;
    await leader.start();
    await eventually("an empty queue", () => spool.queue.depth() === 0);
  }
  assert.equal(await stop(publisher), 0);
  await using client = await openNats(await leaderOf(servers, "EVENTS"));
  return await compare(client, spool, put);
}

/** Compares the stream with what was put. */
async function compare(client: NatsClient, spool: Spool, put: number): Promise<Counts> {
  assert.equal(spool.integrity(), "ok");
  const stored = (await client.read("EVENTS", put)).map(({ text }) => (JSON.parse(text) as { n: number }).n);
  const delivered = new Set(stored);
  assert.equal(stored.length, delivered.size, "each event is in the stream once");
  return { put, delivered: delivered.size, duplicates: 0, lost: put - delivered.size, dead: 0 };
}

export const JETSTREAM: readonly Fault[] = [
  {
    name: "kill -9 of a publisher to JetStream",
    rounds: 100,
    quickRounds: 3,
    skip: NO_NATS || undefined,
    run: killPublishers,
  },
  {
    name: "kill -9 of a JetStream leader of three",
    rounds: 10,
    quickRounds: 1,
    skip: NO_NATS || undefined,
    run: killLeaders,
  },
];
