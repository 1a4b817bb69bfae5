import assert from "node:assert/strict";
import { test } from "node:test";
import { ConcurrencyLimit } from "../../../src/publisher/concurrency_limit.ts";

test("starts at a few requests, and at most at the maximum", () => {
  assert.equal(new ConcurrencyLimit(32).count, 4);
  assert.equal(new ConcurrencyLimit(2).count, 2);
});

test("doubles with each round trip while it is fully used and responses stay quick, up to the maximum", () => {
  const limit = new ConcurrencyLimit(32);
  const counts = [4, 8, 16, 32, 32].map((expected) => {
    for (let answer = 0; answer < expected; answer++) limit.succeeded(50, limit.count, 0);
    return limit.count;
  });
  assert.deepEqual(counts, [8, 16, 32, 32, 32]);
});

test("does not change while it is not fully used", () => {
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

test("falls to one when the collector fails, and grows from there", () => {
  const limit = new ConcurrencyLimit(32);
  limit.succeeded(50, 4, 0);
  limit.failed();
  assert.equal(limit.count, 1);
  for (const expected of [2, 3, 4, 4]) {
    limit.succeeded(120, limit.count, 0);
    assert.equal(limit.count, expected, "slow responses raise it to the first limit only");
  }
});

test("never exceeds a maximum of one, which keeps the order", () => {
  const limit = new ConcurrencyLimit(1);
  for (let answer = 0; answer < 10; answer++) limit.succeeded(50, 1, 0);
  assert.equal(limit.count, 1);
});

test("forgets the quickest response in time, since the latency may change", () => {
  const limit = new ConcurrencyLimit(32);
  limit.succeeded(1, 1, 0);
  limit.succeeded(50, 4, 61_000);
  assert.equal(limit.count, 4, "still compared with the previous window");
  limit.succeeded(50, 4, 122_000);
  assert.equal(limit.count, 5);
});
