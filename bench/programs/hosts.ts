/**
 * Hosts, each with a full queue, that drain to one collector with files or straight into JetStream.
 * `{"directory", "events", "hosts", "nats"}`. Prints total events a second and CPU per event.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { EventQueue } from "../../src/mod.ts";
import { BENCH_KEY } from "./batches.ts";
import { Child, freePort } from "./child.ts";
import { NatsRig } from "./nats_rig.ts";
import { randomEvent } from "./random_events.ts";

const { directory, events, hosts, nats } = JSON.parse(process.argv[2] ?? "{}") as {
  directory: string;
  events: number;
  hosts: number;
  nats: boolean;
};
const own = mkdtempSync(join(directory, "hosts-"));
const pool = Array.from({ length: 10_000 }, randomEvent);
const perHost = Math.ceil(events / hosts / 1_000) * 1_000;

await using stack = new AsyncDisposableStack();
const server = nats ? stack.use(await NatsRig.open(own)) : undefined;
const port = await freePort();
if (server === undefined) {
  const config = write("collector.ini", "event-collector", {
    listen: `127.0.0.1:${port}`,
    output: join(own, "events.jsonl"),
    "key.bench": BENCH_KEY.secret.toString("base64"),
  });
  stack.use(await Child.command("commands/collector.ts", [config], /Collecting at/));
}
const place: Record<string, string> =
  server === undefined
    ? {
        "collector.scheme": "http",
        "collector.hostname": `127.0.0.1:${port}`,
        "collector.version": "2j",
        "key.name": "bench",
        "key.secret": BENCH_KEY.secret.toString("base64"),
      }
    : { destination: "nats", "nats.servers": server.address, "nats.stream": "EVENTS" };

const queues = Array.from({ length: hosts }, (_, host) => {
  const name = `host${host}`;
  const queue = stack.use(
    new EventQueue<Uint8Array>(name, (body) => body, { directory: own, maxEvents: 1e9 }),
  );
  for (let put = 0; put < perHost; put += 1_000)
    queue.putMany(pool.slice(put % 10_000, (put % 10_000) + 1_000));
  const settings = { ...place, "admin.listen": "off", "queue.directory": own };
  return { name, queue, config: write(`${name}.ini`, `event-publisher:${name}`, settings) };
});

const startedAtMs = performance.now();
const publishers = await Promise.all(
  queues.map(({ name, config }) =>
    Child.command("commands/publisher.ts", ["--queue-name", name, config], /Publishing queue/),
  ),
);
for (const publisher of publishers) stack.use(publisher);
while (queues.some(({ queue }) => queue.depth() > 0)) await sleep(20);
const perS = ((perHost * hosts) / (performance.now() - startedAtMs)) * 1_000;
const cpuUs = publishers.reduce((sum, publisher) => sum + publisher.cpuUs(), 0) / (perHost * hosts);
const rssMb = publishers.reduce((sum, publisher) => sum + publisher.maxRssMb(), 0) / hosts;
console.log(JSON.stringify({ perS, cpuUs, maxRssMb: rssMb }));
await stack.disposeAsync();
rmSync(own, { recursive: true, force: true });

function write(file: string, section: string, settings: Readonly<Record<string, string>>): string {
  const path = join(own, file);
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
  writeFileSync(path, `[${section}]\n${lines.join("")}`, { mode: 0o600 });
  return path;
}
