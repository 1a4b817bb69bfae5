import assert from "node:assert/strict";
import { test } from "node:test";
import { BATCH_REGROWTH_MS, BatchSize, MIN_LEARNT_BATCH_BYTES } from "../../../src/publisher/batcher.ts";

test("is the configured size until a batch is too large", () => {
  assert.equal(new BatchSize(500_000).bytes(1e9), 500_000);
});

test("is halved by each batch that is too large", () => {
  const size = new BatchSize(500_000);
  assert.equal(size.tooLarge(480_000, 1_000), true);
  assert.equal(size.bytes(1_000), 240_000);
  assert.equal(size.tooLarge(240_000, 2_000), true);
  assert.equal(size.bytes(2_000), 120_000);
});

test("is not halved again by a batch that was in flight at the same time", () => {
  const size = new BatchSize(500_000);
  size.tooLarge(200_000, 1_000);
  assert.equal(size.tooLarge(480_000, 1_000), false);
  assert.equal(size.bytes(1_000), 100_000);
});

test("is not halved when as large a batch was accepted before: one event is too large", () => {
  const size = new BatchSize(500_000);
  size.accepted(480_000);
  assert.equal(size.tooLarge(470_000, 0), false);
  size.accepted(235_000); // the half without that event
  assert.equal(size.tooLarge(235_000, 0), false);
  assert.equal(size.bytes(0), 500_000);
});

test("is halved by the second batch that is too large: the collector accepts less than before", () => {
  const size = new BatchSize(500_000);
  size.accepted(480_000);
  assert.equal(size.tooLarge(470_000, 0), false);
  assert.equal(size.tooLarge(470_000, 0), true);
  assert.equal(size.bytes(0), 235_000);
});

test("doubles again in ten minutes, up to the configured size", () => {
  const size = new BatchSize(500_000);
  size.tooLarge(200_000, 0);
  assert.equal(size.bytes(BATCH_REGROWTH_MS / 2), Math.floor(100_000 * Math.SQRT2));
  assert.equal(size.bytes(BATCH_REGROWTH_MS), 200_000);
  assert.equal(size.bytes(100 * BATCH_REGROWTH_MS), 500_000);
});

test("never falls below the minimum", () => {
  const size = new BatchSize(500_000);
  assert.equal(size.tooLarge(1_000, 0), true);
  assert.equal(size.bytes(0), MIN_LEARNT_BATCH_BYTES);
  assert.equal(size.tooLarge(1_000, 0), false);
});
