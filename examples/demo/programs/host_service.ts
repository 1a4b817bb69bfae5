/**
 * A service of one host: puts so many events into the host's queue, evenly over a time, and then waits for its end.
 * `host_service.ts HOST DIRECTORY EVENTS DURATION_MS`. It writes how many puts have returned, `put 17`.
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { EventQueue } from "../../../src/mod.ts";
import { serializeV2Event } from "../../../src/serializers/thrift.ts";
import { Event } from "../../thrift/gen-nodejs/event_types.cjs";

const PAUSE_MS = 25;

const [host, directory, count, durationMs] = process.argv.slice(2) as [string, string, string, string];
const total = Number(count);
const queue = new EventQueue("main", serializeV2Event, { directory, maxEvents: Math.max(total, 1) });
const startedAtMs = performance.now();
let put = 0;
while (put < total) {
  const elapsed = (performance.now() - startedAtMs) / Number(durationMs);
  const due = Math.min(total, Math.ceil(total * elapsed));
  while (put < due) queue.put(eventOf(put++));
  console.log(`put ${put}`);
  await sleep(PAUSE_MS);
}
process.once("SIGTERM", () => {
  queue.close();
  process.exit(0);
});
setInterval(() => {}, 3_600_000);

/** Of ten events six are views of articles, three are votes, one is a comment. Its uuid says which one it is. */
function eventOf(n: number): Event {
  const kind = n % 10;
  const [action, noun] =
    kind < 6 ? ["view", "article"] : kind < 9 ? ["vote", "comment"] : ["write", "comment"];
  const uuid = `${host}-${n}`;
  return new Event({ source: "web", action, noun, client_timestamp: Date.now(), uuid });
}
