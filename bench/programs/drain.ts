/**
 * Drains waiting events to a collector. `{"directory", "events", "delayMs", "settings"}`; prints the rate
 * from the first request on, CPU per event, memory and requests.
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { randomEvent } from "./random_events.ts";
import { Rig, type RigOptions } from "./rig.ts";

const { events, ...options } = JSON.parse(process.argv[2] ?? "{}") as RigOptions & { events: number };
const pool = Array.from({ length: 20_000 }, randomEvent);

await using rig = await Rig.open(options);
for (let put = 0; put < events; put += 1_000)
  rig.queue.putMany(pool.slice(put % 20_000, (put % 20_000) + 1_000));
await rig.publish();
while ((await rig.counts()).requests === 0) await sleep(5);
const startedAtMs = Date.now();
const beforeCpuUs = rig.cpuUs();
while (rig.queue.depth() > 0) await sleep(20);
const elapsedMs = Date.now() - startedAtMs;
const { requests, maxInFlight, events: delivered } = await rig.counts();
if (delivered < events) throw new Error(`${delivered} of ${events} events were delivered`);
console.log(
  JSON.stringify({
    perS: (events / elapsedMs) * 1_000,
    cpuUs: (rig.cpuUs() - beforeCpuUs) / events,
    maxRssMb: rig.maxRssMb(),
    requests,
    maxInFlight,
  }),
);
