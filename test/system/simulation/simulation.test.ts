import assert from "node:assert/strict";
import { test } from "node:test";
import { simulate, simulationMissing } from "./simulation.ts";

const skip = simulationMissing() ?? false;

/** Always the same, so that it shows the same on each machine; `bun run faults time` takes others. */
const SEED = 1;
const WORLDS = 50;
const HOURS = 200;

test("keeps its promises through 10,000 simulated hours of outages, kills, held locks and full disks", {
  skip,
  timeout: 1_800_000,
}, async () => {
  const history = await simulate({ seed: SEED, worlds: WORLDS, hours: HOURS });

  assert.equal(history.hours, WORLDS * HOURS);
  const happened = [
    "put",
    "faults",
    "lostResponses",
    "duplicateRequests",
    "tooLarge",
    "deadLetters",
    "kills",
    "partitions",
    "clockChanges",
    "takenOver",
    "consumed",
    "rolledBackPuts",
    "lockedPuts",
    "diskFullPuts",
  ] as const;
  for (const name of happened) assert.ok(history[name] > 0, `${name}: ${JSON.stringify(history)}`);
});
