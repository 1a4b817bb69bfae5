/**
 * A producer that puts at a steady pace, or as fast as it can, and writes how long each put took, in
 * microseconds, as 32-bit floats to the file `output`. `{"directory", "events", "perSecond", "how", "output"}`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import Database from "better-sqlite3";
import { EventQueue, EventQueueFullError } from "../../src/mod.ts";
import { randomEvent } from "./random_events.ts";

/** What is timed: a put, a bare INSERT with SQLite's defaults, or only 20 us of computing. */
export type How = "put" | "bare" | "compute";

interface Pace {
  readonly directory: string;
  readonly events: number;
  /** 0: as fast as it can. */
  readonly perSecond: number;
  readonly how: How;
  readonly output: string;
}

const { directory, events, perSecond, how, output } = JSON.parse(process.argv[2] ?? "{}") as Pace;
const COMPUTE_MS = 0.02;
const pool = Array.from({ length: 1_000 }, () => randomEvent());
const latenciesUs = new Float32Array(events);
const WAYS: Readonly<Record<How, () => (body: Uint8Array) => void>> = {
  put: () => {
    const queue = new EventQueue<Uint8Array>("main", (body) => body, { directory });
    return (body) => queue.put(body);
  },
  bare: () => {
    const db = new Database(`${directory}/bare.db`);
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    const schema = readFileSync(new URL("../../schema.sql", import.meta.url), "utf8");
    db.exec(schema.replaceAll(/CREATE (TABLE|TRIGGER) /g, "CREATE $1 IF NOT EXISTS "));
    const insert = db.prepare<[number, Uint8Array]>(
      "INSERT INTO eventspool_event (put_at_ms, body) VALUES (?, ?)",
    );
    return (body) => void insert.run(Date.now(), body);
  },
  compute: () => () => {
    const untilMs = performance.now() + COMPUTE_MS;
    while (performance.now() < untilMs);
  },
};
const cell = new Int32Array(new SharedArrayBuffer(4));
let rejected = 0;

const work = WAYS[how]();
for (let put = 0; put < 2_000; put++) work(pool[put % 1_000] as Uint8Array); // warm up

const startedAtMs = performance.now();
for (let put = 0; put < events; put++) {
  if (perSecond > 0) {
    const aheadMs = startedAtMs + (put * 1_000) / perSecond - performance.now();
    if (aheadMs > 0.05) Atomics.wait(cell, 0, 0, aheadMs);
  }
  const fromMs = performance.now();
  try {
    work(pool[put % 1_000] as Uint8Array);
  } catch (error) {
    if (!(error instanceof EventQueueFullError)) throw error;
    rejected++;
  }
  latenciesUs[put] = (performance.now() - fromMs) * 1_000;
  if (put % 1_000 === 0) await setImmediate();
}
const elapsedMs = performance.now() - startedAtMs;
writeFileSync(output, latenciesUs);
console.log(JSON.stringify({ perS: (events / elapsedMs) * 1_000, rejected }));
