import assert from "node:assert/strict";
import { test } from "node:test";
import { simulate, simulationMissing } from "./simulation.ts";

const skip = simulationMissing() ?? false;

test("keeps its promises through 200 simulated hours of outages, kills and clock changes", {
  skip,
  timeout: 240_000,
}, async () => {
  const seed = Date.now() % 1_000_000;
  const history = await simulate({ seed, worlds: 2, hours: 100 });
  assert.equal(history.hours, 200);
  assert.ok(history.put > 0 && history.deadLetters >= 0, JSON.stringify(history));
});
