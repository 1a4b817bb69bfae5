/**
 * Events into a JetStream stream. `{"directory", "events", "by"}`: a bare `loop` of the library's publish, or a publisher
 * (with `settings`) that drains a queue. Prints events a second, and the CPU of the publishing process and of the
 * server.
 */
import process from "node:process";
import { BATCH_EVENTS } from "./batches.ts";
import { NatsRig } from "./nats_rig.ts";
import { randomEvent } from "./random_events.ts";
import { Rig } from "./rig.ts";

const { directory, events, by, settings } = JSON.parse(process.argv[2] ?? "{}") as {
  directory: string;
  events: number;
  by: "loop" | "publisher";
  settings?: Record<string, string>;
};
const pool = Array.from({ length: 20_000 }, randomEvent);
await using nats = await NatsRig.open(directory);

async function loop(): Promise<Record<string, number>> {
  await nats.publishAll(Math.ceil(events / 10), () => pool[0] as Uint8Array); // the same ids follow below, and are dropped
  const startedAtMs = performance.now();
  const before = process.cpuUsage();
  await nats.publishAll(events, (index) => pool[index % pool.length] as Uint8Array);
  const { user, system } = process.cpuUsage(before);
  return { perS: (events / (performance.now() - startedAtMs)) * 1_000, cpuUs: (user + system) / events };
}

async function publisher(): Promise<Record<string, number>> {
  const destination = { destination: "nats", "nats.servers": nats.address, "nats.stream": "EVENTS" };
  await using rig = await Rig.open({ directory, settings: { ...destination, ...settings } });
  for (let put = 0; put < events; put += 1_000)
    rig.queue.putMany(pool.slice(put % 20_000, (put % 20_000) + 1_000));
  const messages = settings?.["nats.messages"] === "batch" ? Math.ceil(events / BATCH_EVENTS["2j"]) : events;
  await rig.publish();
  const startedAtMs = await nats.has(1);
  const before = { messages: await nats.messages(), cpuUs: rig.cpuUs() };
  const share = 1 - before.messages / messages; // what arrived before the first measurement
  while (rig.queue.depth() > 0) await nats.has(1).then(() => new Promise((done) => setTimeout(done, 20)));
  const ms = performance.now() - startedAtMs;
  return {
    perS: ((events * share) / ms) * 1_000,
    cpuUs: (rig.cpuUs() - before.cpuUs) / (events * share),
    maxRssMb: rig.maxRssMb(),
  };
}

const figures = by === "loop" ? await loop() : await publisher();
const stored = await nats.messages();
if (settings?.["nats.messages"] !== "batch" && stored !== events)
  throw new Error(`Error: ${stored} of ${events} events are in the stream`);
console.log(JSON.stringify({ ...figures, serverUs: nats.cpuUs() / events }));
