/**
 * fast-check, with the same examples in each run: a check must fail for what a change did, not for its luck.
 * `EVENTSPOOL_SEED=random bun test FILE` looks for new ones, as `bun run test full` does; a number shows those of a
 * failure again.
 */
import process from "node:process";
import fc from "fast-check";

const { EVENTSPOOL_SEED: seed = "1" } = process.env;
if (seed !== "random") fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(seed) });

export { default } from "fast-check";
