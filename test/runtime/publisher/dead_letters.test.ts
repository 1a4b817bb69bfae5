import assert from "node:assert/strict";
import { test } from "node:test";
import { serveCollector } from "../../support/collector.ts";
import { insertDeadLetters } from "../../support/dead_letters.ts";
import { eventually } from "../../support/eventually.ts";
import { newQueue } from "../../support/publisher.ts";

const NOWHERE = "http://127.0.0.1:9";

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(index + 1));
}

test("delivers a retried dead letter like any event", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url);
  insertDeadLetters(main.directory, ['{"id":1}', '{"id":2}']);
  void main.publisher.run();

  assert.deepEqual(await main.publisher.deadLetters.retry({ ids: [2] }), { retried: 1, isFull: false });

  const batch = await eventually("a batch", () => collector.batches[0]);
  assert.deepEqual(batch.events, ['{"id":2}']);
  assert.deepEqual(
    main.publisher.deadLetters.list({ limit: 5 }).map(({ id }) => id),
    [1],
  );
});

test("retries many in pages, up to a time of death", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, numbers(250));
  const { deadLetters } = main.publisher;
  const { deadAtMs } = deadLetters.list({ limit: 1 })[0]!;

  assert.deepEqual(await deadLetters.retry({ deadUntilMs: 0 }), { retried: 0, isFull: false });
  assert.deepEqual(await deadLetters.retry({ deadUntilMs: deadAtMs }), { retried: 250, isFull: false });
  assert.equal(main.queue.depth(), 250);
});

test("purges many in pages, up to a time of death", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, numbers(250));
  const { deadLetters } = main.publisher;
  const { deadAtMs } = deadLetters.list({ limit: 1 })[0]!;

  assert.equal(await deadLetters.purge({ deadUntilMs: 0 }), 0);
  assert.equal(await deadLetters.purge({ deadUntilMs: deadAtMs }), 250);
  assert.deepEqual(deadLetters.list({ limit: 1 }), []);
});

test("retries until the queue is full, and keeps the other dead letters", async () => {
  await using main = newQueue(NOWHERE, { max_queue_size: "150" });
  insertDeadLetters(main.directory, numbers(250));
  const result = await main.publisher.deadLetters.retry({ deadUntilMs: Date.now() });
  assert.deepEqual(result, { retried: 150, isFull: true });
  assert.equal(main.publisher.status().state.deadLetters, 100);
});

test("ignores ids without a dead letter", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, ["1"]);
  const { deadLetters } = main.publisher;
  assert.deepEqual(await deadLetters.retry({ ids: [7] }), { retried: 0, isFull: false });
  assert.equal(await deadLetters.purge({ ids: [7, 1, 1] }), 1);
  assert.equal(deadLetters.get(1), undefined);
});
