import assert from "node:assert/strict";
import { test } from "node:test";
import { FAULTS } from "./all.ts";

for (const { name, quickRounds, skip, run } of FAULTS) {
  test(`loses nothing: ${name}`, { timeout: 60_000, ...(skip !== undefined && { skip }) }, async () => {
    const { lost } = await run(quickRounds);
    assert.equal(lost, 0);
  });
}
