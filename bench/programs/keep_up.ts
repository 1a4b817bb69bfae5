/** One producer at full speed beside its publisher. Prints both rates: put, and put to accepted. */
import process from "node:process";
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import { randomEvent } from "./random_events.ts";
import { Rig, type RigOptions } from "./rig.ts";

const { events, publishes, ...options } = JSON.parse(process.argv[2] ?? "{}") as RigOptions & {
  events: number;
  publishes: boolean;
};
const pool = Array.from({ length: 1_000 }, randomEvent);

await using rig = await Rig.open(options);
if (publishes) await rig.publish();
await sleep(500);
const startedAtMs = performance.now();
for (let put = 0; put < events; put++) {
  rig.queue.put(pool[put % 1_000] as Uint8Array);
  if (put % 1_000 === 0) await setImmediate();
}
const putMs = performance.now() - startedAtMs;
while (publishes && rig.queue.depth() > 0) await sleep(5);
const deliveredMs = performance.now() - startedAtMs;
console.log(
  JSON.stringify({
    putPerS: (events / putMs) * 1_000,
    ...(publishes && {
      deliveredPerS: (events / deliveredMs) * 1_000,
      cpuUs: rig.cpuUs() / events,
      maxRssMb: rig.maxRssMb(),
    }),
  }),
);
