/**
 * Single puts into an idle queue: the time until the publisher has claimed them and until the collector has them, the
 * CPU of an idle publisher, and the time that it takes to start.
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import Database from "better-sqlite3";
import { median } from "../measure.ts";
import { randomEvent } from "./random_events.ts";
import { Rig, type RigOptions } from "./rig.ts";

const IDLE_MS = 10_000;

const { events, ...options } = JSON.parse(process.argv[2] ?? "{}") as RigOptions & { events: number };
await using rig = await Rig.open(options);
const startedAtMs = performance.now();
await rig.publish();
const startMs = performance.now() - startedAtMs;
rig.queue.put(randomEvent());
await sleep(1_500);

const db = new Database(rig.queue.file, { readonly: true });
const claimedId = db.prepare<[], number>("SELECT claimed_id FROM eventspool_queue").pluck();
const claimMs: number[] = [];
for (let put = 0; put < events; put++) {
  const before = claimedId.get() as number;
  const putAtMs = performance.now();
  rig.queue.put(randomEvent());
  while (claimedId.get() === before)
    if (performance.now() - putAtMs > 5_000) throw new Error("never claimed");
  claimMs.push(performance.now() - putAtMs);
  await sleep(100 + Math.random() * 200);
}
db.close();
await sleep(12_000); // until the file is compacted, and the runtime has collected garbage
const beforeCpuUs = rig.cpuUs();
await sleep(IDLE_MS);
const idlePercent = (rig.cpuUs() - beforeCpuUs) / IDLE_MS / 10;
console.log(JSON.stringify({ startMs, p50Ms: median(claimMs), worstMs: Math.max(...claimMs), idlePercent }));
