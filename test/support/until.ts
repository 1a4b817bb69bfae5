import { setTimeout } from "node:timers/promises";

/** Resolves once `condition` is true; the test's own time limit ends what never comes true. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await setTimeout(2);
}
