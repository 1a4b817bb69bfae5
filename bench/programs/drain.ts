/**
 * Drains waiting events to a collector. `{"directory", "events", "delayMs", "settings"}`; prints the rate
 * from the first request on, CPU per event, memory and requests; and then what it takes to trim them.
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import Database from "better-sqlite3";
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
const drainedCpuUs = rig.cpuUs();
const { requests, maxInFlight, events: delivered } = await rig.counts();
if (delivered < events) throw new Error(`${delivered} of ${events} events were delivered`);
const db = new Database(rig.queue.file, { readonly: true });
const isLeft = db.prepare<[], number>("SELECT EXISTS (SELECT 1 FROM eventspool_event)").pluck();
while (isLeft.get() === 1) await sleep(50);
db.close();
const trimmedMs = Date.now() - startedAtMs - elapsedMs;
console.log(
  JSON.stringify({
    perS: (events / elapsedMs) * 1_000,
    cpuUs: (drainedCpuUs - beforeCpuUs) / events,
    trimCpuUs: (rig.cpuUs() - drainedCpuUs) / events,
    trimmedMs,
    maxRssMb: rig.maxRssMb(),
    requests,
    maxInFlight,
  }),
);
