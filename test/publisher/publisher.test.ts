import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import Database from "better-sqlite3";
import { EventStorageError } from "../../src/errors.ts";
import { DEAD_LETTER_BURST } from "../../src/limits.ts";
import { healthOf } from "../../src/publisher/status.ts";
import { EventQueue } from "../../src/queue/event_queue.ts";
import { serveCollector, type TestCollector } from "../support/collector.ts";
import { eventually } from "../support/eventually.ts";
import { newPublisher, newQueue, type PublishedQueue } from "../support/publisher.ts";
import { serveHttp } from "../support/servers.ts";
import { temporaryDirectory } from "../support/temporary.ts";

/** Each event fills a batch of the smallest size there is. */
const ONE_EVENT_BATCHES = { "batch.max_bytes": "102428" };

function putIds({ queue }: PublishedQueue, count: number, payload = ""): void {
  queue.putMany(Array.from({ length: count }, (_, index) => ({ id: index + 1, payload })));
}

function putLarge(main: PublishedQueue, count: number): void {
  putIds(main, count, "x".repeat(60_000));
}

function deliveredIds({ batches }: TestCollector): number[] {
  return batches.flatMap(({ events }) => events.map((event) => (JSON.parse(event) as { id: number }).id));
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

/** Lets the event loop turn so many times. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await setImmediate();
}

function leasesIn({ publisher }: PublishedQueue): number {
  using db = openReadonly(publisher.file);
  return db.get("SELECT count(*) FROM lease") as number;
}

function openReadonly(file: string) {
  const db = new Database(file, { readonly: true });
  return { get: (sql: string) => db.prepare(sql).pluck().get(), [Symbol.dispose]: () => db.close() };
}

test("delivers what was put before and after it started, each event once and in order, and removes it", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url, { "publisher.concurrency": "1" });
  putIds(main, 1_000);
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);
  main.queue.put({ id: 1_001 });
  await eventually("an empty queue", () => main.queue.depth() === 0);

  assert.deepEqual(deliveredIds(collector), upTo(1_001));
  assert.equal(leasesIn(main), 0);
  assert.equal(main.publisher.status().delivered, 1_001);
});

test("cuts batches at batch.max_bytes", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url, ONE_EVENT_BATCHES);
  putLarge(main, 5);
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);

  assert.deepEqual(
    collector.batches.map(({ events }) => events.length),
    [1, 1, 1, 1, 1],
  );
  const ids = collector.batches.map(({ meta }) => meta.eventIds?.split(":")[1]).sort();
  assert.deepEqual(ids, ["1", "2", "3", "4", "5"]);
});

for (const concurrency of [1, 3]) {
  test(`has ${concurrency} batches in flight when told so, and no more`, async () => {
    const waiting: ServerResponse[] = [];
    let most = 0;
    await using server = await serveHttp((response) => {
      most = Math.max(most, waiting.push(response));
    });
    const settings = { ...ONE_EVENT_BATCHES, "publisher.concurrency": String(concurrency) };
    await using main = newQueue(server.url, settings);
    putLarge(main, 6);
    void main.publisher.run();

    for (let left = 6; left > 0; left--) {
      await eventually("batches in flight", () => waiting.length >= Math.min(concurrency, left));
      await turns(50); // in which one too many would come
      waiting.shift()?.end();
    }
    assert.equal(most, concurrency);
    await eventually("an empty queue", () => main.queue.depth() === 0);
    assert.equal(server.requests.length, 6);
  });
}

test("sends a batch again until the collector takes it", async () => {
  let failuresLeft = 2;
  await using server = await serveHttp((response) =>
    response.writeHead(failuresLeft-- > 0 ? 503 : 200).end(),
  );
  await using main = newQueue(server.url);
  putIds(main, 3);
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);

  const [first, ...again] = server.requests.map(({ headers }) => headers["event-ids"]);
  assert.deepEqual(again, [first, first], "named the same each time");
  const { failures, lastProblem, delivered } = main.publisher.status();
  assert.deepEqual([failures, delivered], [0, 3]);
  assert.deepEqual([lastProblem?.kind, lastProblem?.message], ["unavailable", "the collector answered 503"]);
});

test("leaves the collector alone for as long as Retry-After says", async () => {
  await using server = await serveHttp((response) =>
    response.writeHead(429, { "Retry-After": "3600" }).end(),
  );
  await using main = newQueue(server.url);
  putIds(main, 3);
  void main.publisher.run();
  await eventually(
    "a failure",
    () => main.publisher.status().failures === 1 && main.publisher.status().inFlight === 0,
  );

  main.queue.put({ id: 4 });
  await turns(200);

  assert.equal(server.requests.length, 1);
  assert.equal(main.queue.depth(), 4);
});

for (const status of [302, 401, 403, 404]) {
  test(`keeps the events of a batch that was answered ${status}`, async () => {
    await using server = await serveHttp((response) =>
      response.writeHead(status, { Location: "/login" }).end(),
    );
    await using main = newQueue(server.url);
    putIds(main, 3);
    void main.publisher.run();
    await eventually("a failure", () => main.publisher.status().failures > 0);

    const { state, lastProblem } = main.publisher.status();
    assert.deepEqual([state.depth, state.deadLetters, lastProblem?.kind], [3, 0, "misconfigured"]);
    assert.ok(server.requests.every(({ path }) => path === "/v2j"));
  });
}

test("finds the one event that the collector refuses, keeps it apart and delivers the others once", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url);
  using raw = new EventQueue("main", (text: string) => Buffer.from(text), { directory: main.directory });
  raw.putMany(upTo(100).map((id) => (id === 42 ? '{"id":42' : `{"id":${id}}`)));
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);

  const others = upTo(100).filter((id) => id !== 42);
  assert.deepEqual(
    deliveredIds(collector).sort((a, b) => a - b),
    others,
  );
  using db = openReadonly(main.publisher.file);
  assert.deepEqual(String(db.get("SELECT body FROM dead_letter")), '{"id":42');
  assert.equal(db.get("SELECT status FROM dead_letter"), 400);
  const { state, failures, lastProblem } = main.publisher.status();
  assert.deepEqual([state.deadLetters, failures, lastProblem?.kind], [1, 0, "refused"]);
});

test("holds the queue when the collector refuses everything, and goes on when it takes events again", async () => {
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
  assert.equal(healthOf(main.publisher.status()).health, "degraded", "for its dead letters");
});

test("finds its way through many poison events next to each other: they die as others are delivered", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url);
  using raw = new EventQueue("main", (text: string) => Buffer.from(text), { directory: main.directory });
  const poison = Array.from({ length: 3 * DEAD_LETTER_BURST }, () => "{");
  raw.putMany([...poison, ...upTo(100).map((id) => `{"id":${id}}`)]);
  void main.publisher.run();
  await eventually("a held queue", () => main.publisher.status().lastProblem?.kind === "held");
  let put = 100;
  await eventually("an empty queue", () => {
    if (main.queue.depth() === 0) return true;
    putIds(main, 1);
    put++;
    return false;
  });

  assert.equal(main.publisher.status().delivered, put);
  assert.equal(main.publisher.status().state.deadLetters, poison.length);
});

test("gives a publisher that starts anew no new budget for dead letters", async () => {
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

test("makes a dead letter of every refused event when it is told that all may die", async () => {
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

test("sends smaller batches once one was too large for the collector", async () => {
  await using collector = await serveCollector({ maxBodyBytes: 100_000 });
  await using main = newQueue(collector.url, { "publisher.concurrency": "1" });
  putIds(main, 100, "x".repeat(10_000));
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);
  const refusedBefore = collector.refusedCount;
  putIds(main, 100, "x".repeat(10_000));
  await eventually("an empty queue", () => main.queue.depth() === 0);

  assert.equal(collector.refusedCount, refusedBefore, "no second batch was too large");
});

test("halves batches that are too large for the collector, and loses none of them", async () => {
  await using collector = await serveCollector({ maxBodyBytes: 1_000 });
  await using main = newQueue(collector.url);
  putIds(main, 200);
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);

  assert.deepEqual(
    deliveredIds(collector).sort((a, b) => a - b),
    upTo(200),
  );
  assert.equal(main.publisher.status().state.deadLetters, 0);
});

test("finishes what is in flight when it is told to stop, and claims nothing more", async () => {
  const stop = new AbortController();
  await using server = await serveHttp((response) => {
    stop.abort();
    main.queue.put({ id: 4 });
    response.end();
  });
  await using main = newQueue(server.url);
  putIds(main, 3);

  await main.publisher.run({ signal: stop.signal });

  assert.equal(server.requests.length, 1);
  assert.equal(main.queue.depth(), 1);
  assert.equal(leasesIn(main), 0);
});

test("gives back what is still in flight when the grace time is over, for the next publisher", async () => {
  const stop = new AbortController();
  await using silent = await serveHttp(() => stop.abort());
  await using main = newQueue(silent.url, { "publisher.grace": "10ms", "collector.timeout": "1h" });
  putIds(main, 3);

  await main.publisher.run({ signal: stop.signal });

  assert.equal(main.queue.depth(), 3);
  await using collector = await serveCollector();
  await using next = newPublisher(collector.url, main.directory);
  void next.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);
  assert.deepEqual(deliveredIds(collector), [1, 2, 3]);
});

test("sends nothing when it is told to stop before it starts", async () => {
  await using server = await serveHttp((response) => response.end());
  await using main = newQueue(server.url);
  putIds(main, 3);
  await main.publisher.run({ signal: AbortSignal.abort() });
  assert.equal(server.requests.length, 0);
});

test("runs once, however often it is started", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url);
  const stop = new AbortController();
  const running = main.publisher.run();
  assert.equal(main.publisher.run({ signal: stop.signal }), running);
  stop.abort();
  await running;
});

test("shares a queue with another publisher, and no event is sent twice", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url);
  await using other = newPublisher(collector.url, main.directory);
  void main.publisher.run();
  void other.run();
  for (let id = 1; id <= 500; id++) {
    main.queue.put({ id });
    if (id % 10 === 0) await setImmediate();
  }
  await eventually("an empty queue", () => main.queue.depth() === 0);

  assert.deepEqual(
    deliveredIds(collector).sort((a, b) => a - b),
    upTo(500),
  );
});

test("stores the configured row cap in the queue's file, and leaves it alone otherwise", async () => {
  await using main = newQueue("http://127.0.0.1:9", { max_queue_size: "2" });
  await using other = newPublisher("http://127.0.0.1:9", main.directory);
  assert.equal(other.status().state.maxEvents, 2);
});

test("refuses to start on a directory that is not there", () => {
  using directory = temporaryDirectory();
  assert.throws(() => newPublisher("http://127.0.0.1:9", `${directory.path}/none`), EventStorageError);
});
