/**
 * Sends full batches to the collector of this package, a process of its own, and prints its rate, CPU per event and
 * memory. `{"directory", "events", "version", "connections", "settings"}`; settings are the collector's.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { BATCH_EVENTS, type Batch, BENCH_KEY, makeBatch } from "./batches.ts";
import { cpuUsOf, maxRssMbOf } from "./proc.ts";

interface Task {
  readonly directory: string;
  readonly events: number;
  readonly version?: "2" | "2j";
  readonly connections?: number;
  readonly settings?: Readonly<Record<string, string | number>>;
}

const task = JSON.parse(process.argv[2] ?? "{}") as Task;
const { events, version = "2j", connections = 8 } = task;
const directory = mkdtempSync(join(task.directory, "collect-"));
const batchEvents = BATCH_EVENTS[version];
const queue = crypto.randomUUID();
const pool = Array.from({ length: 40 }, () => makeBatch(version));
const agent = new Agent({ keepAlive: true });

const { child, port } = await startCollector();
await sendAll(40 * batchEvents, 0); // warm up
const beforeCpuUs = cpuUsOf(child.pid);
const startedAtMs = performance.now();
const sent = await sendAll(events, 40);
const elapsedMs = performance.now() - startedAtMs;
const cpuUs = (cpuUsOf(child.pid) - beforeCpuUs) / sent;
const maxRssMb = maxRssMbOf(child.pid);
child.kill("SIGTERM");
await once(child, "exit");
rmSync(directory, { recursive: true });
console.log(JSON.stringify({ perS: (sent / elapsedMs) * 1_000, cpuUs, perCoreS: 1e6 / cpuUs, maxRssMb }));

async function startCollector() {
  const file = join(directory, "collector.ini");
  const settings = {
    listen: "127.0.0.1:0",
    output: join(directory, "events.jsonl"),
    [`key.${BENCH_KEY.name}`]: BENCH_KEY.secret.toString("base64"),
    ...task.settings,
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
  writeFileSync(file, `[event-collector]\n${lines.join("")}`, { mode: 0o600 });
  const program = fileURLToPath(new URL("../../../src/cli/collector.ts", import.meta.url));
  const collector = spawn(process.execPath, [program, file], { stdio: ["ignore", "inherit", "pipe"] });
  for await (const line of createInterface({ input: collector.stderr })) {
    const address = /"address":"http:\/\/[^"]*:(\d+)"/.exec(line)?.[1];
    if (address !== undefined) return { child: collector, port: Number(address) };
  }
  throw new Error("The collector has not started.");
}

/** Sends so many events, in batches numbered from `first`. @returns how many there were */
async function sendAll(count: number, first: number): Promise<number> {
  const batches = Math.ceil(count / batchEvents);
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let nth = next++; nth < batches; nth = next++) await send(pool[nth % pool.length]!, first + nth);
  };
  await Promise.all(Array.from({ length: connections }, lane));
  return batches * batchEvents;
}

function send({ compressed, signature }: Batch, nth: number): Promise<void> {
  const firstId = nth * batchEvents + 1;
  const headers = {
    "Content-Type": "application/json",
    "Content-Encoding": "gzip",
    "Content-Length": compressed.length,
    "X-Signature": signature,
    "Event-Ids": `${queue}:${firstId}-${firstId + batchEvents - 1}`,
  };
  return new Promise((resolve, reject) => {
    const post = request({ agent, port, method: "POST", path: `/v${version}`, headers }, (answer) => {
      answer.resume().on("end", resolve);
      if (answer.statusCode !== 200) reject(new Error(`The collector answers ${answer.statusCode}.`));
    });
    post.on("error", reject);
    post.end(compressed);
  });
}
