/**
 * A real collector that receives full batches. `{"directory", "events", "version": "2j", "lines": {...}, "nats": false}`;
 * `lines` are lines of its configuration. Prints events a second, and the collector's CPU and memory.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { BATCH_EVENTS, BENCH_KEY, sendAll } from "./batches.ts";
import { Child, freePort } from "./child.ts";
import { NatsRig } from "./nats_rig.ts";

const {
  directory,
  events,
  version = "2j",
  lines,
  nats,
} = JSON.parse(process.argv[2] ?? "{}") as {
  directory: string;
  events: number;
  version?: "2" | "2j";
  lines: Record<string, string>;
  nats: boolean;
};
const IN_FLIGHT = 8;

const own = mkdtempSync(join(directory, "collect-"));
const port = await freePort();
await using server = nats ? await NatsRig.open(own) : undefined;
const settings: Record<string, string> = {
  listen: `127.0.0.1:${port}`,
  "key.bench": BENCH_KEY.secret.toString("base64"),
  ...(server && {
    sink: "nats",
    "nats.servers": server.address,
    "nats.stream": "EVENTS",
    "nats.subject": "events.main",
  }),
  ...(!server && { output: join(own, "events.out") }),
  ...lines,
};
const config = join(own, "collector.ini");
const text = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
writeFileSync(config, `[event-collector]\n${text.join("")}`, { mode: 0o600 });
{
  await using collector = await Child.command("commands/collector.ts", [config], /Collecting at/);
  const url = `http://127.0.0.1:${port}`;
  const requests = Math.ceil(events / BATCH_EVENTS[version]);
  await sendAll(url, Math.ceil(requests / 10), { version, inFlight: IN_FLIGHT }); // warm up the compiler
  const before = { ms: performance.now(), cpuUs: collector.cpuUs(), serverUs: server?.cpuUs() ?? 0 };
  await sendAll(url, requests, { version, inFlight: IN_FLIGHT });
  const count = requests * BATCH_EVENTS[version];
  const cpuUs = (collector.cpuUs() - before.cpuUs) / count;
  console.log(
    JSON.stringify({
      perS: (count / (performance.now() - before.ms)) * 1_000,
      cpuUs,
      perCoreS: 1_000_000 / cpuUs,
      maxRssMb: collector.maxRssMb(),
      ...(server && { serverUs: (server.cpuUs() - before.serverUs) / count }),
    }),
  );
}
rmSync(own, { recursive: true, force: true });
