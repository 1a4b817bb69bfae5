/**
 * A collector that responds at once or after `delayMs`, and counts each event id once. It reads bodies without parsing
 * them, so that the publisher is measured. `GET /` returns the count.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { EVENT_IDS_HEADER, parseEventIds } from "../../src/wire/event_ids.ts";

const delayMs = Number(process.argv[2] ?? 0);
let events = 0;
let requests = 0;
let lastAtMs = 0;
let inFlight = 0;
let maxInFlight = 0;

function take(request: IncomingMessage, response: ServerResponse): void {
  if (request.method === "GET") {
    response.end(JSON.stringify({ events, requests, lastAtMs, maxInFlight }));
    return;
  }
  maxInFlight = Math.max(maxInFlight, ++inFlight);
  request.resume();
  request.on("end", () => {
    if (delayMs === 0) accept(request, response);
    else setTimeout(() => accept(request, response), delayMs);
  });
}

function accept(request: IncomingMessage, response: ServerResponse): void {
  events += parseEventIds(String(request.headers[EVENT_IDS_HEADER.toLowerCase()]))?.count ?? 0;
  requests++;
  inFlight--;
  lastAtMs = Date.now();
  response.end();
}

const server = createServer(take);
server.listen(0, "127.0.0.1", () => console.log(`${(server.address() as AddressInfo).port}`));
process.on("SIGTERM", () => process.exit());
