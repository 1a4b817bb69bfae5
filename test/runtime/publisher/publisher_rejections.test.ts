import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { healthOf } from "../../../src/publisher/health.ts";
import { DEAD_LETTER_BURST } from "../../../src/publisher/poison_guard.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { deliveredIds, serveCollector } from "../../support/collector.ts";
import { eventually } from "../../support/eventually.ts";
import { newPublisher, newQueue, type PublishedQueue } from "../../support/publisher.ts";
import { numbersFrom } from "../../support/scripted_collector.ts";
import { serveHttp } from "../../support/servers.ts";
import { openReadonly } from "../../support/shell.ts";

function putIds({ queue }: PublishedQueue, count: number, payload = ""): void {
  queue.putMany(Array.from({ length: count }, (_, index) => ({ id: index + 1, payload })));
}

test("finds the one rejected event, keeps it as a dead letter and delivers the others once", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url);
  using raw = new EventQueue("main", (text: string) => Buffer.from(text), { directory: main.directory });
  raw.putMany(numbersFrom(1, 100).map((id) => (id === 42 ? '{"id":42' : `{"id":${id}}`)));
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);

  const others = numbersFrom(1, 100).filter((id) => id !== 42);
  assert.deepEqual(
    deliveredIds(collector).sort((a, b) => a - b),
    others,
  );
  using db = openReadonly(main.publisher.file);
  assert.deepEqual(db.get("SELECT CAST(body AS TEXT) FROM eventspool_dead_letter"), '{"id":42');
  assert.equal(db.get("SELECT status FROM eventspool_dead_letter"), 400);
  const { state, consecutiveFailures: failures, lastProblem } = main.publisher.status();
  assert.deepEqual([state.deadLetters, failures, lastProblem?.kind], [1, 0, "rejected"]);
});

test("does not send smaller batches because one event is too large", async () => {
  await using server = await serveHttp((response) => response.writeHead(413).end("too large"));
  await using main = newQueue(server.url);
  const { maxBatchBytes } = main.publisher.metrics();
  putIds(main, 1, "x".repeat(90_000));
  void main.publisher.run();
  await eventually("a dead letter", () => main.publisher.status().state.deadLetters === 1);
  assert.equal(main.publisher.metrics().maxBatchBytes, maxBatchBytes);
});

test("holds the queue when the collector rejects everything, and continues when it accepts events again", async () => {
  let status = 422;
  await using server = await serveHttp((response) => response.writeHead(status).end("wrong schema"));
  await using main = newQueue(server.url);
  putIds(main, 500);
  void main.publisher.run();
  await eventually("a held queue", () => main.publisher.status().lastProblem?.kind === "held");

  const held = main.publisher.status();
  assert.equal(held.state.deadLetters, DEAD_LETTER_BURST);
  assert.equal(held.state.depth, 500 - DEAD_LETTER_BURST);
  assert.equal(healthOf(held).health, "failing");
  assert.match(held.lastProblem?.message ?? "", /422: wrong schema/);

  status = 200;
  await eventually("an empty queue", () => main.queue.depth() === 0);
  assert.equal(main.publisher.status().delivered, 500 - DEAD_LETTER_BURST);
  assert.equal(healthOf(main.publisher.status()).health, "degraded", "because of its dead letters");
});

test("gets through many poison events in a row: they become dead letters as others are delivered", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url);
  using raw = new EventQueue("main", (text: string) => Buffer.from(text), { directory: main.directory });
  const poison = Array.from({ length: 3 * DEAD_LETTER_BURST }, () => "{");
  raw.putMany([...poison, ...numbersFrom(1, 100).map((id) => `{"id":${id}}`)]);
  void main.publisher.run();
  await eventually("a held queue", () => main.publisher.status().lastProblem?.kind === "held");
  let put = 100;
  await eventually("an empty queue", () => {
    if (main.queue.depth() === 0) return true;
    putIds(main, 10);
    put += 10;
    return false;
  });

  assert.equal(main.publisher.status().delivered, put);
  assert.equal(main.publisher.status().state.deadLetters, poison.length);
});

test("keeps the order of a held queue when it sends one batch at a time: no later event overtakes", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url, { "publisher.concurrency": "1" });
  using raw = new EventQueue("main", (text: string) => Buffer.from(text), { directory: main.directory });
  raw.putMany(Array.from({ length: DEAD_LETTER_BURST + 1 }, () => "{"));
  void main.publisher.run();
  await eventually("a held queue", () => main.publisher.status().lastProblem?.kind === "held");
  putIds(main, 1);
  const { failedRequests } = main.publisher.status();
  await eventually("three more tries", () => main.publisher.status().failedRequests >= failedRequests + 3);

  assert.deepEqual(deliveredIds(collector), []);
});

test("does not renew the budget of dead letters at a restart", async () => {
  await using server = await serveHttp((response) => response.writeHead(400).end());
  await using main = newQueue(server.url);
  putIds(main, 100);
  void main.publisher.run();
  await eventually("a held queue", () => main.publisher.status().lastProblem?.kind === "held");
  await main.publisher[Symbol.asyncDispose]();

  await using next = newPublisher(server.url, main.directory);
  void next.run();
  await eventually("a held queue", () => next.status().lastProblem?.kind === "held");

  assert.equal(next.status().state.deadLetters, DEAD_LETTER_BURST);
});

test("makes a dead letter of every rejected event with a share of 100 %", async () => {
  await using server = await serveHttp((response) => response.writeHead(400).end());
  await using main = newQueue(server.url, {
    "dead_letters.max_share": "100%",
    "dead_letters.max_count": "30",
  });
  putIds(main, 50);
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);

  const { deadLetters, droppedDeadLetters } = main.publisher.status().state;
  assert.deepEqual([deadLetters, droppedDeadLetters], [30, 20]);
});

test("sends smaller batches after one was too large for the collector", async () => {
  await using collector = await serveCollector({ maxBodyBytes: 100_000 });
  await using main = newQueue(collector.url, { "publisher.concurrency": "1" });
  putIds(main, 100, "x".repeat(10_000));
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);
  const rejectedBefore = collector.rejectedCount;
  putIds(main, 100, "x".repeat(10_000));
  await eventually("an empty queue", () => main.queue.depth() === 0);

  assert.equal(collector.rejectedCount, rejectedBefore, "no second batch was too large");
});

test("splits batches that are too large for the collector, and loses no event", async () => {
  await using collector = await serveCollector({ maxBodyBytes: 1_000 });
  await using main = newQueue(collector.url);
  putIds(main, 200);
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);

  assert.deepEqual(
    deliveredIds(collector).sort((a, b) => a - b),
    numbersFrom(1, 200),
  );
  assert.equal(main.publisher.status().state.deadLetters, 0);
});

/** The report of a collector that rejects the bad events and accepts the others. */
function reportNaming(events: readonly { readonly id: number }[], isBad: (id: number) => boolean): string {
  const rejected = events.flatMap(({ id }, index) => (isBad(id) ? [{ index, error: `bad ${id}` }] : []));
  return JSON.stringify({ accepted: events.length - rejected.length, rejected });
}

test("makes dead letters of the events that a 422 names, and sends none of the others again", async () => {
  const requests: number[][] = [];
  const isBad = (id: number): boolean => id === 7 || id === 100;
  await using server = await serveHttp((response, { body }) => {
    const events = JSON.parse(String(gunzipSync(body))) as { id: number }[];
    requests.push(events.map(({ id }) => id));
    if (!events.some(({ id }) => isBad(id))) response.end();
    else response.writeHead(422).end(reportNaming(events, isBad));
  });
  await using main = newQueue(server.url);
  putIds(main, 100);
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);

  assert.deepEqual(requests, [numbersFrom(1, 100)]);
  const { delivered, state, consecutiveFailures: failures } = main.publisher.status();
  assert.deepEqual([delivered, state.deadLetters, failures], [98, 2, 0]);
  using db = openReadonly(main.publisher.file);
  assert.equal(db.get("SELECT response FROM eventspool_dead_letter WHERE id = 100"), "bad 100");
});

test("holds the events of a 422 that exceed the budget of dead letters, and delivers them later", async () => {
  let isStrict = true;
  const isBad = (id: number): boolean => isStrict && id > 50;
  await using server = await serveHttp((response, { body }) => {
    const events = JSON.parse(String(gunzipSync(body))) as { id: number }[];
    if (!events.some(({ id }) => isBad(id))) response.end();
    else response.writeHead(422).end(reportNaming(events, isBad));
  });
  await using main = newQueue(server.url);
  putIds(main, 100);
  void main.publisher.run();
  await eventually("a held queue", () => main.publisher.status().lastProblem?.kind === "held");
  const { delivered, state } = main.publisher.status();
  assert.deepEqual([delivered, state.depth + state.deadLetters], [50, 50]);
  assert.ok(state.deadLetters >= DEAD_LETTER_BURST);

  isStrict = false;
  await eventually("an empty queue", () => main.queue.depth() === 0);
  const after = main.publisher.status();
  assert.equal(after.delivered + after.state.deadLetters, 100);
});
