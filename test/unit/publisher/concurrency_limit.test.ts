import assert from "node:assert/strict";
import { test } from "node:test";
import { ConcurrencyLimit } from "../../../src/publisher/concurrency_limit.ts";

test("begins with a few, and with no more than allowed", () => {
  assert.equal(new ConcurrencyLimit(32).count, 4);
  assert.equal(new ConcurrencyLimit(2).count, 2);
});

test("doubles with each round trip while all are in use and answers stay quick, up to the most allowed", () => {
  const limit = new ConcurrencyLimit(32);
  const counts = [4, 8, 16, 32, 32].map((expected) => {
    for (let answer = 0; answer < expected; answer++) limit.succeeded(50, limit.count, 0);
    return limit.count;
  });
  assert.deepEqual(counts, [8, 16, 32, 32, 32]);
});

test("stays as it is while there is room left", () => {
  const limit = new ConcurrencyLimit(32);
  for (let answer = 0; answer < 100; answer++) limit.succeeded(50, 3, 0);
  assert.equal(limit.count, 4);
});

test("lowers the limit when responses slow down, but not below the first one", () => {
  const limit = new ConcurrencyLimit(32);
  for (let answer = 0; answer < 40; answer++) limit.succeeded(50, limit.count, 0);
  assert.equal(limit.count, 32);
  limit.succeeded(101, 32, 0);
  limit.succeeded(101, 32, 0);
  assert.equal(limit.count, 31);
  for (let answer = 0; answer < 100; answer++) limit.succeeded(101, 32, 0);
  assert.equal(limit.count, 4);
});

test("leaves one when the collector fails, and grows from there", () => {
  const limit = new ConcurrencyLimit(32);
  limit.succeeded(50, 4, 0);
  limit.failed();
  assert.equal(limit.count, 1);
  for (const expected of [2, 3, 4, 4]) {
    limit.succeeded(120, limit.count, 0);
    assert.equal(limit.count, expected, "slow answers add the first few, and no more");
  }
});

test("never gives up order: one stays one", () => {
  const limit = new ConcurrencyLimit(1);
  for (let answer = 0; answer < 10; answer++) limit.succeeded(50, 1, 0);
  assert.equal(limit.count, 1);
});

test("forgets the quickest answer in time, since a collector may move away", () => {
  const limit = new ConcurrencyLimit(32);
  limit.succeeded(1, 1, 0);
  limit.succeeded(50, 4, 61_000);
  assert.equal(limit.count, 4, "still compared with the window before");
  limit.succeeded(50, 4, 122_000);
  assert.equal(limit.count, 5);
});
