import { ANSWERS } from "./answers.ts";
import { CHAOS } from "./chaos.ts";
import { CLOCKS } from "./clocks.ts";
import { CRASHES } from "./crashes.ts";
import type { Fault } from "./fault.ts";
import { JETSTREAM } from "./jetstream.ts";
import { POISON } from "./poison.ts";
import { STOPS } from "./stops.ts";
import { SURROUNDINGS } from "./surroundings.ts";

/** Those in which a runtime's own network has a part: test/runtime runs them. */
export const RUNTIME_FAULTS: readonly Fault[] = ANSWERS;

/** The others, which test/system runs. */
export const SYSTEM_FAULTS: readonly Fault[] = [
  ...CRASHES,
  ...STOPS,
  ...POISON,
  ...SURROUNDINGS,
  ...CLOCKS,
  ...CHAOS,
  ...JETSTREAM,
];

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
