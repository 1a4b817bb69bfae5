/**
 * Worlds in simulated time, under Node: `simulate.ts SEED COUNT HOURS`. Prints what came of them, or the seed of the
 * first that is not as promised.
 *
 * @module
 */
import { argv, exit } from "node:process";
import { SimulatedTime } from "./simulated_time.ts";

const [seed = 1, count = 1, hours = 100] = argv.slice(2).map(Number);
const time = new SimulatedTime();
time.install();
const { World } = await import("./world.ts");

const sum = { hours: 0, put: 0, deadLetters: 0, kills: 0 };
for (let nth = seed; nth < seed + count; nth++) {
  try {
    const history = await new World(time, nth).live(hours);
    sum.hours += hours;
    for (const [name, value] of Object.entries(history)) sum[name as keyof typeof history] += value as number;
  } catch (error) {
    console.error(`seed ${nth}, ${hours} hours: ${(error as Error).stack}`);
    exit(1);
  }
}
console.log(JSON.stringify(sum));
exit(0);
