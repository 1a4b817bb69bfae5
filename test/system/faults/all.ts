import { ANSWERS } from "./answers.ts";
import { CHAOS } from "./chaos.ts";
import { CLOCKS } from "./clocks.ts";
import { CRASHES } from "./crashes.ts";
import type { Fault } from "./fault.ts";
import { JETSTREAM } from "./jetstream.ts";
import { POISON } from "./poison.ts";
import { STOPS } from "./stops.ts";
import { SURROUNDINGS } from "./surroundings.ts";

/** All faults, in the order of GUARANTEES.md. */
export const FAULTS: readonly Fault[] = [
  ...CRASHES,
  ...STOPS,
  ...ANSWERS,
  ...POISON,
  ...SURROUNDINGS,
  ...CLOCKS,
  ...CHAOS,
  ...JETSTREAM,
];
