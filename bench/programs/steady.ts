/**
 * A producer at a steady pace beside its publisher: what the publisher's CPU is per event, and how long puts take.
 * `{"directory", "perSecond", "durationMs"}`
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Rig, type RigOptions, start } from "./rig.ts";

/** Until the producer is warm, and has its pace. */
const WARM_UP_MS = 3_000;

const { perSecond, durationMs, ...options } = JSON.parse(process.argv[2] ?? "{}") as RigOptions & {
  perSecond: number;
  durationMs: number;
};

await using rig = await Rig.open(options);
await rig.publish();
const { directory } = rig;
const output = join(directory, "latencies.f32");
const events = (perSecond * (WARM_UP_MS + durationMs)) / 1_000;
const producer = start("latency_producer.ts", [
  JSON.stringify({ directory, events, perSecond, how: "put", output }),
]);
const ended = once(producer, "exit");
await sleep(WARM_UP_MS);
const [before, beforeCpuUs] = [await rig.counts(), rig.cpuUs()];
await ended;
while (rig.queue.depth() > 0) await sleep(20);
const [after, afterCpuUs] = [await rig.counts(), rig.cpuUs()];

const { buffer, byteOffset, byteLength } = readFileSync(output);
const latenciesUs = new Float32Array(buffer, byteOffset, byteLength / 4).sort();
const at = (share: number) => latenciesUs[Math.floor(latenciesUs.length * share)] as number;
console.log(
  JSON.stringify({
    cpuUs: (afterCpuUs - beforeCpuUs) / (after.events - before.events),
    batchEvents: (after.events - before.events) / (after.requests - before.requests),
    p50Us: at(0.5),
    p99Us: at(0.99),
    maxRssMb: rig.maxRssMb(),
  }),
);
