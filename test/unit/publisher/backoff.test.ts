import assert from "node:assert/strict";
import { test } from "node:test";
import { BACKOFF_BASE_MS, backoffMs } from "../../../src/publisher/circuit_breaker.ts";
import { BACKOFF_MAX_MS } from "../../../src/wire/retry_after.ts";
import fc from "../../support/fast_check.ts";

test("doubles the ceiling with each failure, up to a minute", () => {
  const ceilings = Array.from({ length: 10 }, (_, index) => backoffMs(index + 1, { random: 1 }));

  assert.deepEqual(ceilings, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  assert.equal(ceilings[0], BACKOFF_BASE_MS);
  assert.equal(backoffMs(Number.MAX_SAFE_INTEGER, { random: 1 }), BACKOFF_MAX_MS);
});

test("can be any time from zero to the ceiling", () => {
  assert.equal(backoffMs(3, { random: 0 }), 0);
  assert.equal(backoffMs(3, { random: 0.25 }), 500);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000 }), (failures) => {
      const waitMs = backoffMs(failures);
      assert.ok(waitMs >= 0 && waitMs < BACKOFF_MAX_MS, String(waitMs));
      assert.notEqual(backoffMs(failures), waitMs, "two publishers do not come back at one time");
    }),
  );
});
