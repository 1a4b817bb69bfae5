/** eventspool: `put`, `putMany` and `putAsync`, with the cap, without a publisher. */
import { EventQueue } from "../../src/mod.ts";
import { makeEvent, measure, ownDirectory, task } from "./rounds.ts";

const queue = new EventQueue<Uint8Array>("main", (body) => body, {
  directory: ownDirectory(),
  maxEvents: 1_000_000_000,
  durability: task.synchronous === "FULL" ? "power" : "process",
});
for (let nth = 1; nth < (task.subscriptions ?? 1); nth++)
  queue.subscribe(`reader${nth}`, { signal: AbortSignal.abort() }); // it is added, and nobody reads
const event = makeEvent();

await measure({
  one: () => queue.put(event),
  many: (count) => queue.putMany(new Array<Uint8Array>(count).fill(event)),
  grouped: () => queue.putAsync(event),
});
queue.close();
