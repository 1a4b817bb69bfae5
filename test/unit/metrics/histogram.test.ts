import assert from "node:assert/strict";
import { test } from "node:test";
import { Histogram } from "../../../src/metrics/family.ts";

test("counts each value in the first bucket whose bound it does not exceed", () => {
  const histogram = new Histogram([1, 10, 100]);
  for (const value of [0, 1, 1.5, 10, 11, 100, 101, 5_000]) histogram.observe(value);
  assert.deepEqual(histogram.counts, [2, 2, 2, 2]);
  assert.equal(histogram.sum, 0 + 1 + 1.5 + 10 + 11 + 100 + 101 + 5_000);
});

test("counts one value with the weight of several", () => {
  const histogram = new Histogram([1]);
  histogram.observe(0.5, 4);
  histogram.observe(3, 2);
  assert.deepEqual([histogram.counts, histogram.sum], [[4, 2], 8]);
});
