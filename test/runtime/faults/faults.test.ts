import assert from "node:assert/strict";
import { test } from "node:test";
import { RUNTIME_FAULTS } from "../../system/faults/all.ts";

for (const { name, quickRounds, skip, run } of RUNTIME_FAULTS) {
  test(`loses nothing: ${name}`, { timeout: 300_000, ...(skip !== undefined && { skip }) }, async () => {
    const { lost } = await run(quickRounds);
    assert.equal(lost, 0);
  });
}
