/**
 * Worlds in simulated time, under Node: `simulate.ts SEED COUNT HOURS`. Prints what they went through, or the seed of the
 * first that is not as promised.
 */
import process, { argv, exit } from "node:process";
import { SimulatedTime } from "./simulated_time.ts";

const [seed = 1, count = 1, hours = 100] = argv.slice(2).map(Number);
const time = new SimulatedTime();
time.install();
const { World } = await import("./world.ts");

let nth = seed;
let world: InstanceType<typeof World> | undefined;
const fail = (error: unknown): void => {
  const afterHours = (time.nowMs / 3_600_000).toFixed(1);
  console.error(`Seed ${nth} fails after ${afterHours} hours: ${(error as Error).stack}`);
  console.error(`Once more: bun run faults time --seed ${nth} --worlds 1 --hours ${hours}`);
  exit(1);
};
process.on("exit", () => world?.discard()); // the seed is all that it takes to see a failure again
process.on("SIGTERM", () => exit(1));
process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);
const sum: Record<string, number> = { hours: 0 };
for (; nth < seed + count; nth++) {
  world = new World(time, nth);
  const history = await world.live(hours).catch(fail);
  sum.hours! += hours;
  for (const [name, value] of Object.entries(history ?? {})) sum[name] = (sum[name] ?? 0) + value;
}
console.log(JSON.stringify(sum));
exit(0);
