import { ANSWERS } from "./answers.ts";
import { CRASHES } from "./crashes.ts";
import type { Fault } from "./fault.ts";
import { STOPS } from "./stops.ts";

/** All faults, in the order of GUARANTEES.md. */
export const FAULTS: readonly Fault[] = [...CRASHES, ...STOPS, ...ANSWERS];
