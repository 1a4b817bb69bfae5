/**
 * A producer that puts at a steady pace, or as fast as it can, and writes how long each put took, in
 * microseconds, as 32-bit floats to the file it is told. `{"directory", "events", "perSecond", "output"}`.
 */
import { writeFileSync } from "node:fs";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { EventQueue, EventQueueFullError } from "../../../src/mod.ts";
import { randomEvent } from "./random_events.ts";

interface Pace {
  readonly directory: string;
  readonly events: number;
  /** 0: as fast as it can. */
  readonly perSecond: number;
  readonly output: string;
}

const { directory, events, perSecond, output } = JSON.parse(process.argv[2] ?? "{}") as Pace;
const queue = new EventQueue<Uint8Array>("main", (body) => body, { directory });
const pool = Array.from({ length: 1_000 }, () => randomEvent());
const latenciesUs = new Float32Array(events);
const cell = new Int32Array(new SharedArrayBuffer(4));
let refused = 0;

for (let put = 0; put < 2_000; put++) queue.put(pool[put % 1_000] as Uint8Array); // warm up

const startedAtMs = performance.now();
for (let put = 0; put < events; put++) {
  if (perSecond > 0) {
    const aheadMs = startedAtMs + (put * 1_000) / perSecond - performance.now();
    if (aheadMs > 0.05) Atomics.wait(cell, 0, 0, aheadMs);
  }
  const fromMs = performance.now();
  try {
    queue.put(pool[put % 1_000] as Uint8Array);
  } catch (error) {
    if (!(error instanceof EventQueueFullError)) throw error;
    refused++;
  }
  latenciesUs[put] = (performance.now() - fromMs) * 1_000;
  if (put % 1_000 === 0) await setImmediate();
}
const elapsedMs = performance.now() - startedAtMs;
writeFileSync(output, latenciesUs);
console.log(JSON.stringify({ perS: (events / elapsedMs) * 1_000, refused }));
queue.close();
