import assert from "node:assert/strict";
import { test } from "node:test";
import { SYSTEM_FAULTS } from "./all.ts";

for (const { name, quickRounds, skip, run } of SYSTEM_FAULTS) {
  test(`loses nothing: ${name}`, { timeout: 600_000, ...(skip !== undefined && { skip }) }, async () => {
    const { lost } = await run(quickRounds);
    assert.equal(lost, 0);
  });
}
