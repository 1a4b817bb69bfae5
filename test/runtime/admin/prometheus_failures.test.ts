import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import Database from "better-sqlite3";
import { serveCollector } from "../../support/collector.ts";
import { eventually } from "../../support/eventually.ts";
import { figuresOf, parseMetrics, scrape } from "../../support/prometheus.ts";
import { newPublisher, newQueue } from "../../support/publisher.ts";
import { serveHttp } from "../../support/servers.ts";

test("counts a lease that went to another publisher before it was settled", async () => {
  const held: ServerResponse[] = [];
  await using slow = await serveHttp((response) => held.push(response));
  await using collector = await serveCollector();
  await using main = newQueue(slow.url, { "collector.timeout": "60s" });
  main.queue.put({ id: 1 });
  void main.publisher.run();
  const response = await eventually("a request", () => held[0]);

  const db = new Database(main.publisher.file);
  db.exec("UPDATE eventspool_lease SET expires_at_ms = 0"); // as if its time were over
  db.close();
  await using other = newPublisher(collector.url, main.directory);
  void other.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);
  response.end();

  await eventually("a lost lease", async () => (await figuresOf(main.publisher)).lost_leases_total === 1);
  const { lost_leases_total: lost, ...figures } = await figuresOf(other);
  assert.equal(lost, 0);
  assert.equal(figures['claimed_batches_total{claim="again"}'], 1);
});

test("counts failures of the file, and still shows the publisher's other metrics", async () => {
  await using main = newQueue("http://127.0.0.1:9");
  const db = new Database(main.publisher.file);
  db.exec("ALTER TABLE eventspool_queue RENAME TO hidden");
  void main.publisher.run();

  const failures = async (): Promise<number> => {
    const samples = parseMetrics((await scrape(main.publisher)).text).flatMap(({ samples }) => samples);
    assert.ok(!samples.some(({ name }) => name === "eventspool_queue_depth"), "it cannot be read");
    return samples.find(({ name }) => name === "eventspool_storage_failures_total")!.value;
  };
  await eventually("a second failure", async () => (await failures()) >= 2);

  db.exec("ALTER TABLE hidden RENAME TO eventspool_queue");
  db.close();
  await eventually("no failure any more", async () => {
    const figures = await figuresOf(main.publisher);
    return figures.consecutive_storage_failures === 0 && figures.queue_depth === 0;
  });
  assert.ok((await figuresOf(main.publisher)).storage_failures_total! >= 2);
});

test("counts the puts that were rejected, for whatever reason", async () => {
  await using main = newQueue("http://127.0.0.1:9", { max_queue_size: "1" });
  main.queue.put({ id: 1 });
  assert.throws(() => main.queue.put({ id: 2 }));
  assert.throws(() => main.queue.put({ note: "x".repeat(200_000) }));
  assert.throws(() => main.queue.put(undefined));
  main.queue.close(); // adds up what it has counted

  const figures = await figuresOf(main.publisher);
  const byReason = ["full", "too_large", "invalid", "storage"].map(
    (reason) => figures[`rejected_puts_total{reason="${reason}"}`],
  );
  assert.deepEqual(byReason, [1, 1, 1, 0]);
});
