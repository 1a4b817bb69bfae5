import assert from "node:assert/strict";
import { test } from "node:test";
import { PublisherCounts } from "../../../src/publisher/counts.ts";

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

test("begins with nothing counted", () => {
  const { requests, claims, ...counts } = new PublisherCounts();
  const all = [...Object.values(requests), ...Object.values(claims), ...Object.values(counts)];
  const numbers = all.filter((count) => typeof count === "number");
  assert.ok(numbers.length > 10 && numbers.every((count) => count === 0), `${numbers}`);
});

test("counts a request by its outcome, and its size and time whatever the outcome", () => {
  const counts = new PublisherCounts();
  counts.requested("accepted", { count: 3, sizeBytes: 300, durationMs: 2 });
  counts.requested("rejected", { count: 1_700, sizeBytes: 512_000, durationMs: 40 });

  assert.deepEqual(counts.requests, {
    accepted: 1,
    unavailable: 0,
    misconfigured: 0,
    rejected: 1,
    partial: 0,
  });
  assert.deepEqual([sum(counts.batchEvents.counts), counts.batchEvents.sum], [2, 1_703]);
  assert.deepEqual([sum(counts.batchBytes.counts), counts.batchBytes.sum], [2, 512_300]);
  assert.deepEqual([sum(counts.postSeconds.counts), counts.postSeconds.sum], [2, 0.042]);
  const { bounds, counts: inBucket } = counts.batchBytes;
  assert.equal(inBucket[bounds.indexOf(512_000)], 1, "a full batch has a bucket of its own");
});

test("counts each event of a small batch by its own time", () => {
  const counts = new PublisherCounts();
  counts.accepted([1_000, 5_000, 9_000], 3, 10_000);
  const { bounds, counts: inBucket, sum: seconds } = counts.acceptedSeconds;
  assert.equal(seconds, 9 + 5 + 1);
  for (const bound of [1, 5, 10]) assert.equal(inBucket[bounds.indexOf(bound)], 1, `${bound}`);
});

test("counts all events of a large batch by a sample of them", () => {
  for (const count of [17, 100, 1_703]) {
    const counts = new PublisherCounts();
    const putAtMs = Array.from({ length: 16 }, (_, index) => index);
    counts.accepted(putAtMs, count, 1_000);
    assert.equal(sum(counts.acceptedSeconds.counts), count);
  }
});

test("counts an event with a time in the future as new: the clock was set back", () => {
  const counts = new PublisherCounts();
  counts.accepted([90_000], 1, 10_000);
  assert.deepEqual([counts.acceptedSeconds.counts[0], counts.acceptedSeconds.sum], [1, 0]);
});
