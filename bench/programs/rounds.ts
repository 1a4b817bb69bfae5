/** What all put programs share: arguments, event, clock and one line of JSON. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** `{"mode":"one", ...}`, the only argument of a program. */
export interface Task {
  /** `one` put at a time, `many` in one transaction, or `grouped`: callers in flight at once. */
  readonly mode: "one" | "many" | "grouped";
  readonly synchronous: "NORMAL" | "FULL";
  /** How many events are put, after a tenth of it to warm up. */
  readonly events: number;
  /** The size of an event, in bytes. */
  readonly eventBytes: number;
  /** How many events `many` puts at once, or how many callers `grouped` has. */
  readonly width: number;
  /** Where files may be made. */
  readonly directory: string;
  /** How many subscriptions the queue has. Default: 1. */
  readonly subscriptions?: number;
}

/** The task of this program. */
export const task: Task = JSON.parse(process.argv[2] ?? "{}") as Task;

/** A JSON event of the task's size that compresses like text. */
export function makeEvent(eventBytes: number = task.eventBytes): Uint8Array {
  const event = { uuid: crypto.randomUUID(), time: Date.now(), action: "view", noun: "page", note: "" };
  event.note = "x".repeat(Math.max(0, eventBytes - JSON.stringify(event).length));
  return Buffer.from(JSON.stringify(event));
}

/** A directory that is removed when this program ends. */
export function ownDirectory(): string {
  const path = mkdtempSync(join(task.directory, "put-"));
  process.on("exit", () => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** One operation of the engine in each mode that it has. */
export interface Engine {
  readonly one?: () => void;
  readonly many?: (count: number) => void;
  /** Resolves when the event is as durable as the engine makes it. */
  readonly grouped?: () => Promise<unknown>;
}

/** Runs the task and prints what was measured. */
export async function measure(engine: Engine): Promise<void> {
  await work(engine, Math.ceil(task.events / 10));
  const startedAtMs = performance.now();
  await work(engine, task.events);
  const perS = (task.events / (performance.now() - startedAtMs)) * 1_000;
  console.log(JSON.stringify({ perS }));
}

async function work({ one, many, grouped }: Engine, events: number): Promise<void> {
  if (task.mode === "one" && one) for (let put = 0; put < events; put++) one();
  else if (task.mode === "many" && many) for (let put = 0; put < events; put += task.width) many(task.width);
  else if (task.mode === "grouped" && grouped) await inFlight(grouped, events);
  else throw new Error(`this engine has no way to put in the mode ${task.mode}`);
}

/** `width` callers; each puts its next event when its last one is done. */
async function inFlight(grouped: () => Promise<unknown>, events: number): Promise<void> {
  let left = events;
  const caller = async (): Promise<void> => {
    while (left-- > 0) await grouped();
  };
  await Promise.all(Array.from({ length: task.width }, caller));
}
