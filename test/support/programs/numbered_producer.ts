/**
 * Puts `{"n":FIRST}` to `{"n":LAST}` into queue `main`: `numbered_producer.ts DIRECTORY FIRST LAST`. Waits for a
 * line on stdin, so that several start at once; then prints under which runtime it put them.
 */
import { once } from "node:events";
import process from "node:process";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";

const [directory = "", first, last] = process.argv.slice(2);
const { bun, deno, node } = process.versions;
console.log("ready");
await once(process.stdin, "data");

const events = new EventQueue("main", serializeJsonEvent, { directory, maxEvents: 1_000_000 });
for (let n = Number(first); n <= Number(last); n++) {
  events.put({ n });
  // Now and then the event loop has its turn, as in a service.
  if (n % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
}
events.close();
console.log(`done under ${bun ? "Bun" : deno ? "Deno" : `Node ${node}`}`);
process.exit();
