import assert from "node:assert/strict";
import { test } from "node:test";
import { DEAD_LETTER_BURST, PoisonGuard } from "../../../src/publisher/poison_guard.ts";
import fc from "../../support/fast_check.ts";

/** Spends the whole budget, and returns how large it was. */
function spendAll(budget: PoisonGuard): number {
  let spent = 0;
  while (budget.spend()) spent++;
  return spent;
}

test("allows a few dead letters in a row, and no more", () => {
  const budget = new PoisonGuard(0.1);
  assert.equal(budget.isSpent, false);
  assert.equal(spendAll(budget), DEAD_LETTER_BURST);
  assert.equal(budget.isSpent, true);
});

test("allows one more for each nine delivered events with a share of a tenth", () => {
  const budget = new PoisonGuard(0.1);
  spendAll(budget);
  budget.delivered(8);
  assert.equal(spendAll(budget), 0);
  budget.delivered(1 + 18);
  assert.equal(spendAll(budget), 3);
});

test("saves up only a few, however many events were delivered", () => {
  const budget = new PoisonGuard(0.5);
  budget.delivered(1_000_000);
  assert.equal(spendAll(budget), DEAD_LETTER_BURST);
});

test("starts with what recent dead letters have left of the budget", () => {
  assert.equal(spendAll(new PoisonGuard(0.1, DEAD_LETTER_BURST - 2)), 2);
  assert.equal(spendAll(new PoisonGuard(0.1, 1_000)), 0);
});

test("is unlimited with a share of 100 %", () => {
  const budget = new PoisonGuard(1, 1_000_000);
  for (let n = 0; n < 1_000; n++) assert.equal(budget.spend(), true);
});

test("never allows more than the share and the first few, in any order of accepted and rejected events", () => {
  const steps = fc.array(fc.oneof(fc.nat({ max: 50 }), fc.constant("rejected" as const)), { maxLength: 200 });
  fc.assert(
    fc.property(steps, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (script, maxShare) => {
      const budget = new PoisonGuard(maxShare);
      let delivered = 0;
      let dead = 0;
      for (const step of script) {
        if (step === "rejected") dead += budget.spend() ? 1 : 0;
        else {
          delivered += step;
          budget.delivered(step);
        }
        const allowed = DEAD_LETTER_BURST + (delivered * maxShare) / (1 - maxShare);
        assert.ok(dead <= allowed + 1e-6, `${dead} of ${allowed}`);
      }
    }),
  );
});
