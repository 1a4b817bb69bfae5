/** Puts 300,000 events in one turn of the event loop, and says how far its memory has grown: `many_puts.ts DIRECTORY`. */
import process from "node:process";
import { EventQueueFullError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";

const encoder = new TextEncoder();
const queue = new EventQueue("main", (event: string) => encoder.encode(event), {
  directory: process.argv[2]!,
});
await queue.putAsync("warm"); // code and statements
const before = process.memoryUsage().rss;
const settled = Promise.withResolvers<void>();
let [stored, rejected, unit] = [1, 0, ""];
const count = (): void => {
  if (stored + rejected === 300_000) settled.resolve();
};
const onStored = (): void => {
  stored++;
  count();
};
const onRejected = (error: unknown): void => {
  rejected++;
  if (error instanceof EventQueueFullError) ({ unit } = error);
  count();
};
for (let n = 1; n < 300_000; n++)
  void queue.putAsync(`{"n":${n},"padding":"${"x".repeat(100)}"}`).then(onStored, onRejected);
const grownBytes = process.memoryUsage().rss - before; // the most: nothing is stored yet
await settled.promise;
queue.close();
process.stdout.write(
  `${JSON.stringify({ stored, rejected, unit, grown_mb: Math.round(grownBytes / 1e6) })}\n`,
);
