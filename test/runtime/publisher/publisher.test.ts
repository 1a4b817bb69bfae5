import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { EventStorageError } from "../../../src/errors.ts";
import { deliveredIds, serveCollector } from "../../support/collector.ts";
import { eventually } from "../../support/eventually.ts";
import { start } from "../../support/processes.ts";
import { newPublisher, newQueue, type PublishedQueue } from "../../support/publisher.ts";
import { numbersFrom } from "../../support/scripted_collector.ts";
import { serveHttp } from "../../support/servers.ts";
import { openReadonly } from "../../support/shell.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** Each event fills a batch of the smallest size. */
const ONE_EVENT_BATCHES = { "batch.max_bytes": "102428" };

function putIds({ queue }: PublishedQueue, count: number, payload = ""): void {
  queue.putMany(Array.from({ length: count }, (_, index) => ({ id: index + 1, payload })));
}

function putLarge(main: PublishedQueue, count: number): void {
  putIds(main, count, "x".repeat(60_000));
}

/** Waits for so many turns of the event loop. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await setImmediate();
}

function leasesIn({ publisher }: PublishedQueue): number {
  using db = openReadonly(publisher.file);
  return db.get("SELECT count(*) FROM eventspool_lease") as number;
}

test("delivers events put before and after its start, each once and in order, and removes them", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url, { "publisher.concurrency": "1" });
  putIds(main, 1_000);
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);
  main.queue.put({ id: 1_001 });
  await eventually("an empty queue", () => main.queue.depth() === 0);

  assert.deepEqual(deliveredIds(collector), numbersFrom(1, 1_001));
  assert.equal(leasesIn(main), 0);
  assert.equal(main.publisher.status().delivered, 1_001);
});

test("splits batches at batch.max_bytes", async () => {
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
  test(`has ${concurrency} batches in flight if configured, and no more`, async () => {
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
      await turns(50); // a batch too many would arrive now
      waiting.shift()?.end();
    }
    assert.equal(most, concurrency);
    await eventually("an empty queue", () => main.queue.depth() === 0);
    assert.equal(server.requests.length, 6);
  });
}

test("sends a batch again until the collector accepts it", async () => {
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
  const {
    consecutiveFailures: failures,
    failedRequests,
    retries,
    lastProblem,
    delivered,
  } = main.publisher.status();
  assert.deepEqual([failures, failedRequests, retries, delivered], [0, 2, 2, 3]);
  assert.deepEqual(
    [lastProblem?.kind, lastProblem?.message],
    ["unavailable", "the destination responded with 503"],
  );
});

test("waits for as long as Retry-After says", async () => {
  await using server = await serveHttp((response) =>
    response.writeHead(429, { "Retry-After": "3600" }).end(),
  );
  await using main = newQueue(server.url);
  putIds(main, 3);
  void main.publisher.run();
  await eventually(
    "a failure",
    () => main.publisher.status().consecutiveFailures === 1 && main.publisher.status().inFlight === 0,
  );

  main.queue.put({ id: 4 });
  await turns(200);

  assert.equal(server.requests.length, 1);
  assert.equal(main.queue.depth(), 4);
});

for (const status of [302, 401, 403, 404]) {
  test(`keeps the events of a batch after a response of ${status}`, async () => {
    await using server = await serveHttp((response) =>
      response.writeHead(status, { Location: "/login" }).end(),
    );
    await using main = newQueue(server.url);
    putIds(main, 3);
    void main.publisher.run();
    await eventually("a failure", () => main.publisher.status().consecutiveFailures > 0);

    const { state, lastProblem } = main.publisher.status();
    assert.deepEqual([state.depth, state.deadLetters, lastProblem?.kind], [3, 0, "misconfigured"]);
    assert.ok(server.requests.every(({ path }) => path === "/v2j"));
  });
}

test("finishes the batches in flight when it stops, and claims nothing more", async () => {
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

test("releases the batches that are in flight after the grace time, for the next publisher", async () => {
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

test("sends nothing when it is stopped before it starts", async () => {
  await using server = await serveHttp((response) => response.end());
  await using main = newQueue(server.url);
  putIds(main, 3);
  await main.publisher.run({ signal: AbortSignal.abort() });
  assert.equal(server.requests.length, 0);
});

test("leaves no listener on the signal", async () => {
  const forever = new AbortController();
  for (let round = 0; round < 3; round++) {
    await using main = newQueue("http://127.0.0.1:9");
    const running = main.publisher.run({ signal: forever.signal });
    await main.publisher[Symbol.asyncDispose]();
    await running;
  }
  assert.equal(getEventListeners(forever.signal, "abort").length, 0);
});

test("runs only once, however often it is started", async () => {
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
    numbersFrom(1, 500),
  );
});

test("stores the configured cap in the queue file, and otherwise does not change it", async () => {
  await using main = newQueue("http://127.0.0.1:9", { max_queue_size: "2" });
  await using other = newPublisher("http://127.0.0.1:9", main.directory);
  assert.equal(other.status().state.maxEvents, 2);
});

test("fails to start when the directory does not exist", () => {
  using directory = temporaryDirectory();
  assert.throws(() => newPublisher("http://127.0.0.1:9", `${directory.path}/none`), EventStorageError);
});

test("leaves nothing that keeps a process alive, whatever the grace time", {
  timeout: 300_000,
}, async () => {
  using directory = temporaryDirectory();
  const args = [directory.path, "1h"];
  await using service = start("test/support/programs/embedded_publisher.ts", args);
  assert.equal(await service.ended, 0, service.stderr.join("\n"));
});
