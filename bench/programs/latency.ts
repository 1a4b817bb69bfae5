/** Several producers beside a publisher: the tail of all their puts. `perSecond` 0: at full speed. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { How } from "./latency_producer.ts";
import { randomEvent } from "./random_events.ts";
import { Rig, type RigOptions, start } from "./rig.ts";

const { producers, events, perSecond, how, ...options } = JSON.parse(
  process.argv[2] ?? "{}",
) as RigOptions & {
  producers: number;
  events: number;
  perSecond: number;
  how: How;
};
const each = Math.floor(events / producers);

const TICK_MS = 10;
const instead = Array.from({ length: (perSecond * producers * TICK_MS) / 1_000 }, randomEvent);

function putInstead(): void {
  rig.queue.putMany(instead);
}

async function produce(
  directory: string,
  producer: number,
): Promise<{ perS: number; latenciesUs: Float32Array }> {
  const output = join(directory, `${producer}.f32`);
  const child = start("latency_producer.ts", [
    JSON.stringify({ directory, events: each, perSecond, how, output }),
  ]);
  const [out] = await Promise.all([text(child.stdout as NodeJS.ReadableStream), once(child, "exit")]);
  const { buffer, byteOffset, byteLength } = readFileSync(output);
  const { perS } = JSON.parse(out) as { perS: number };
  return { perS, latenciesUs: new Float32Array(buffer, byteOffset, byteLength / 4) };
}

await using rig = await Rig.open(options);
if (how !== "bare") await rig.publish();
await sleep(700);
// Keeps the publisher equally busy beside producers that do not put.
const tick = how === "compute" ? setInterval(putInstead, TICK_MS) : undefined;
const runs = await Promise.all(
  Array.from({ length: producers }, (_, index) => produce(rig.directory, index)),
);
clearInterval(tick);
const undelivered = rig.queue.depth();
const all = new Float32Array(each * producers);
for (const [index, { latenciesUs }] of runs.entries()) all.set(latenciesUs, index * each);
all.sort();
const at = (share: number) =>
  (all[Math.min(all.length - 1, Math.floor(all.length * share))] as number) / 1_000;
console.log(
  JSON.stringify({
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    p999Ms: at(0.999),
    worstMs: at(1),
    perS: runs.reduce((sum, { perS }) => sum + perS, 0),
    undelivered,
  }),
);
