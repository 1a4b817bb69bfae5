/**
 * Runs a program of this repository by another clock: `with_clock.ts OFFSET_FILE PROGRAM ARGS...`. The file
 * holds milliseconds to add to the time of day; it is read anew each time, so that the clock can jump under
 * way. Monotonic time goes on as it does when a real clock jumps.
 */
import { readFileSync } from "node:fs";
import process from "node:process";

const [runtime = "", , offsetFile = "", program = "", ...args] = process.argv;
process.argv = [runtime, program, ...args];

const RealDate = Date;
const now = (): number => RealDate.now() + Number(readFileSync(offsetFile, "utf8"));

globalThis.Date = new Proxy(RealDate, {
  construct: (target, given) =>
    given.length === 0 ? new target(now()) : Reflect.construct(target, given, target),
  get: (target, key) => (key === "now" ? now : Reflect.get(target, key)),
});

await import(new URL(`../../../${program}`, import.meta.url).href);
