/** A few events at random moments: the time of each to the collector, and the number of requests. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { Rig, type RigOptions } from "./rig.ts";

const { perSecond, durationMs, ...options } = JSON.parse(process.argv[2] ?? "{}") as RigOptions & {
  perSecond: number;
  durationMs: number;
};
const tookMs: number[] = [];
let requests = 0;
const server = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const nowMs = performance.now();
  requests++;
  for (const { at } of JSON.parse(String(gunzipSync(Buffer.concat(chunks)))) as { at: number }[])
    tookMs.push(nowMs - at);
  response.end();
}).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const hostname = `127.0.0.1:${(server.address() as AddressInfo).port}`;
await using rig = await Rig.open({ ...options, settings: { "collector.hostname": hostname } });
await rig.publish();
await sleep(500);
const endsAtMs = performance.now() + durationMs;
while (performance.now() < endsAtMs) {
  rig.queue.put(Buffer.from(JSON.stringify({ at: performance.now(), note: "x".repeat(250) })));
  await sleep((-Math.log(Math.random()) * 1_000) / perSecond);
}
while (rig.queue.depth() > 0) await sleep(10);
tookMs.sort((a, b) => a - b);
const at = (share: number) => tookMs[Math.floor(tookMs.length * share)] ?? Number.NaN;
console.log(
  JSON.stringify({ p50Ms: at(0.5), p99Ms: at(0.99), requestsPerS: (requests / durationMs) * 1_000 }),
);
server.close();
