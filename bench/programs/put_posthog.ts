/** posthog-node: events in memory, flushed to a local server in batches of 1,000. Ends when the server has all. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { PostHog } from "posthog-node";
import { makeEvent, measure } from "./rounds.ts";

const server = createServer((request, response) => {
  request.resume();
  request.on("end", () => response.end('{"status":1}'));
}).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const host = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const client = new PostHog("phc_bench", { host, flushAt: 1_000, maxQueueSize: 10_000_000 });
const properties = JSON.parse(String(makeEvent())) as Record<string, unknown>;

await measure({ one: () => client.capture({ distinctId: "user", event: "view", properties }) });
process.exit();
