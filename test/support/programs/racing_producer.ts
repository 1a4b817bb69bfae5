/**
 * Puts as fast as it can: `racing_producer.ts DIRECTORY PUTS MAX_EVENTS`. Waits for a line on stdin, so that
 * several start at once; then prints how many puts were stored, rejected, or failed in another way.
 */
import { once } from "node:events";
import process from "node:process";
import { EventQueueFullError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";

const [directory = "", puts, maxEvents] = process.argv.slice(2);
const pid = process.pid;
console.log("ready");
await once(process.stdin, "data");

const count = { stored: 0, rejected: 0, failed: [] as string[] };
const queue = new EventQueue("race", (event: object) => Buffer.from(JSON.stringify(event)), {
  directory,
  maxEvents: Number(maxEvents),
  busyTimeoutMs: 30_000, // who holds the lock may wait for a core
});
for (let number = 0; number < Number(puts); number++) {
  try {
    queue.put({ pid, number });
    count.stored++;
  } catch (error) {
    if (error instanceof EventQueueFullError) count.rejected++;
    else count.failed.push(String(error));
  }
}
queue.close();
console.log(JSON.stringify(count));
process.exit();
