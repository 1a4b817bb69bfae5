/** @segment/analytics-node: events in memory, flushed to a local server in batches of 1,000. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { Analytics } from "@segment/analytics-node";
import { makeEvent, measure } from "./rounds.ts";

const server = createServer((request, response) => {
  request.resume();
  request.on("end", () => response.end('{"success":true}'));
}).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const host = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const client = new Analytics({ writeKey: "bench", host, flushAt: 1_000, maxEventsInBatch: 1_000 } as never);
const properties = JSON.parse(String(makeEvent())) as Record<string, unknown>;

await measure({ one: () => client.track({ userId: "user", event: "view", properties }) });
process.exit();
