import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { Event } from "../../../examples/thrift/gen-nodejs/event_types.cjs";
import { EventError } from "../../../src/errors.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { serializeV2Event } from "../../../src/serializers/thrift.ts";
import { DeadLetterTable } from "../../../src/storage/dead_letters.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import {
  FakeCollector,
  publish,
  type Responder,
  responses,
  TestEventQueue,
  WaitTimeoutError,
} from "../../../src/testing/mod.ts";
import { queueUuid } from "../../support/batches.ts";
import { eventually } from "../../support/eventually.ts";
import { connectTo } from "../../support/raw_http.ts";

const LIMIT = { timeout: 300_000 };

/** Longer than any wait of a publisher in these tests. */
const PATIENT = { timeoutMs: 120_000 };

/** So that no request is sent again because the machine is busy. */
const SETTINGS = { "collector.timeout": "60s" };

interface Numbered {
  readonly n: number;
}

const numbered = (count: number): Numbered[] =>
  Array.from({ length: count }, (_, index) => ({ n: index + 1 }));

/** Delivers three events to a collector with these responses, and returns the collector. */
async function deliver(respond: Responder, settings: Record<string, string> = {}): Promise<FakeCollector> {
  using queue = new TestEventQueue("main", serializeJsonEvent);
  await using collector = await FakeCollector.open();
  collector.respond = respond;
  queue.putMany(numbered(3));
  await using _publisher = publish(queue, collector, { ...SETTINGS, ...settings });
  const received = await collector.waitFor(3, PATIENT);
  await eventually("an empty queue", () => queue.depth() === 0);
  assert.deepEqual(received, numbered(3));
  assert.deepEqual(collector.problems, []);
  return collector;
}

const statusesOf = ({ requests }: FakeCollector): unknown[] => requests.map(({ status }) => status);

const QUEUE = queueUuid(1);
const OTHER_QUEUE = queueUuid(2);

test("the collector receives events from the real publisher", LIMIT, async () => {
  const collector = await deliver(responses.accept());
  assert.deepEqual(statusesOf(collector), [200]);
  const [{ eventIds, path, bytes, headers, version } = assert.fail()] = collector.requests;
  assert.match(eventIds, /^[0-9a-f-]{36}:1-3$/);
  assert.deepEqual([path, version, bytes], ["/v2j", "2j", '[{"n":1},{"n":2},{"n":3}]'.length]);
  assert.equal(headers["content-encoding"], "gzip");
});

test("open rejects with the port that cannot be used", LIMIT, async () => {
  await using collector = await FakeCollector.open();
  const again = FakeCollector.open({ port: collector.port });
  await assert.rejects(again, {
    code: "CONFIGURATION",
    message: /^port: cannot listen on port \d+: .*(?:EADDRINUSE|in use)/,
  });
});

test("the collector receives Thrift events", LIMIT, async () => {
  using queue = new TestEventQueue("thrift", serializeV2Event);
  await using collector = await FakeCollector.open();
  await using _publisher = publish(queue, collector, { ...SETTINGS, "collector.version": "2" });
  queue.put(new Event({ source: "web", action: "view", noun: "page", client_timestamp: 5, uuid: "u" }));
  const [event] = await collector.waitFor(1, PATIENT);
  assert.deepEqual((event as Record<string, unknown>)["2"], { str: "view" });
});

test("times: the first responses have a status", LIMIT, async () => {
  assert.deepEqual(
    statusesOf(await deliver(responses.times(2, responses.status(503, "later")))),
    [503, 503, 200],
  );
});

test("retryAfter: the publisher pauses", LIMIT, async () => {
  const collector = await deliver(responses.times(1, responses.retryAfter(1)));
  const [rejected, accepted] = collector.requests;
  assert.deepEqual(statusesOf(collector), [503, 200]);
  assert.ok(accepted!.atMs - rejected!.atMs > 990, `it came ${accepted!.atMs - rejected!.atMs} ms later`);
  assert.deepEqual(statusesOf(await deliver(responses.times(1, responses.retryAfter(0, 429)))), [429, 200]);
});

test("hang: the publisher waits for its timeout", LIMIT, async () => {
  const scripted = responses.times(1, responses.hang());
  const statuses = statusesOf(await deliver(scripted, { "collector.timeout": "200ms" }));
  assert.deepEqual([statuses.at(0), statuses.at(-1)], [undefined, 200]);
});

test("reset: the connection is cut", LIMIT, async () => {
  assert.deepEqual(statusesOf(await deliver(responses.times(1, responses.reset()))), [undefined, 200]);
});

test("lose: events are received once, and counted as repeated", LIMIT, async () => {
  const collector = await deliver(responses.times(1, responses.lose()));
  assert.deepEqual(statusesOf(collector), [undefined, 200]);
  assert.equal(collector.repeated, 3);
});

test("delay: the response is late", LIMIT, async () => {
  const startedAtMs = performance.now();
  await deliver(responses.delay(300));
  assert.ok(performance.now() - startedAtMs > 290);
});

test("reject: the bad event becomes a dead letter, and the others are received", LIMIT, async () => {
  using queue = new TestEventQueue("main", serializeJsonEvent);
  await using collector = await FakeCollector.open();
  collector.respond = responses.reject(({ n }: Numbered) => n === 2);
  queue.putMany(numbered(3));
  await using _publisher = publish(queue, collector, SETTINGS);
  const received = await collector.waitFor(2, PATIENT);
  await eventually("an empty queue", () => queue.depth() === 0);
  assert.deepEqual(new Set(received.map((event) => (event as Numbered).n)), new Set([1, 3]));
  const file = QueueFile.openReadOnly(queue.file);
  assert.equal(new DeadLetterTable(file).countSince(0), 1);
  file.close();
});

test("rejectNamed: the bad event is listed, and the others are received at once", LIMIT, async () => {
  using queue = new TestEventQueue("main", serializeJsonEvent);
  await using collector = await FakeCollector.open();
  collector.respond = responses.rejectNamed(({ n }: Numbered) => n === 2);
  queue.putMany(numbered(3));
  await using publisher = publish(queue, collector, SETTINGS);
  const received = await collector.waitFor(2, PATIENT);
  await eventually("an empty queue", () => queue.depth() === 0);
  assert.deepEqual(received, [{ n: 1 }, { n: 3 }]);
  assert.equal(collector.requests.length, 1);
  assert.equal(publisher.status().state.deadLetters, 1);
});

test("maxBytes: the publisher sends smaller batches", LIMIT, async () => {
  const collector = await deliver(responses.maxBytes('[{"n":1},{"n":2}]'.length), {
    "publisher.concurrency": "1",
  });
  assert.ok(statusesOf(collector).includes(413));
  for (const { bytes, status } of collector.requests) assert.equal(status, bytes > 17 ? 413 : 200);
});

test("waitFor rejects with a WaitTimeoutError that says what came instead", LIMIT, async () => {
  using queue = new TestEventQueue("main", serializeJsonEvent);
  await using collector = await FakeCollector.open();
  collector.respond = responses.status(403);
  queue.put(1);
  await using _publisher = publish(queue, collector, SETTINGS);
  await eventually("a response", () => statusesOf(collector).includes(403));
  await assert.rejects(collector.waitFor(1, { timeoutMs: 1 }), (error) => {
    assert.ok(error instanceof WaitTimeoutError && WaitTimeoutError.is(error) && EventError.is(error));
    assert.deepEqual([error.code, error.expected, error.received], ["WAIT_TIMEOUT", 1, 0]);
    assert.match(error.message, /received 0 of 1 events in 1 ms \(\d+ requests, the last responses: .*403/);
    return true;
  });
});

test("a responder that throws is a problem, and responds with 500", LIMIT, async () => {
  const failing: Responder = () => {
    throw new Error("a slip of the test");
  };
  using queue = new TestEventQueue("main", serializeJsonEvent);
  await using collector = await FakeCollector.open();
  collector.respond = responses.times(1, failing);
  queue.put(1);
  await using _publisher = publish(queue, collector, SETTINGS);
  await collector.waitFor(1, PATIENT);
  assert.deepEqual(collector.problems, ["POST /v2j: a slip of the test"]);
});

/** Sends a request without a publisher. */
async function send(
  collector: FakeCollector,
  body: string,
  change: Record<string, string> = {},
  path = "/v2j",
) {
  const key = Buffer.from(collector.settings["key.secret"]!, "base64");
  const mac = createHmac("sha256", key).update(body).digest("hex");
  const headers = { "Content-Encoding": "gzip", "X-Signature": `key=tests, mac=${mac}`, ...change };
  const response = await fetch(collector.url + path, { method: "POST", headers, body: gzipSync(body) });
  return [response.status, await response.text()];
}

test("a request that no publisher would send is rejected, and listed in problems", LIMIT, async () => {
  await using collector = await FakeCollector.open();
  const wrong = `key=tests, mac=${"0".repeat(64)}`;
  assert.deepEqual(await send(collector, "[1]", { "X-Signature": wrong }), [
    403,
    "Unknown key or wrong MAC.",
  ]);
  assert.equal((await send(collector, "[1]", { "X-Signature": "" }))[0], 403);
  assert.equal((await send(collector, "[1]", { "Content-Encoding": "identity" }))[0], 400);
  assert.equal((await send(collector, "{}"))[0], 400);
  assert.equal((await send(collector, "[1"))[0], 400);
  assert.equal((await send(collector, '{"1":{"lst":["rec",2,{}]}}', {}, "/v2"))[0], 400);
  assert.equal((await send(collector, "[1]", {}, "/v3"))[0], 400);
  assert.equal(collector.problems.length, 7);
  assert.deepEqual([collector.requests, collector.received], [[], []]);
});

test("a request that ends in the middle, because a publisher is killed, does not count", LIMIT, async () => {
  await using collector = await FakeCollector.open();
  const socket = await connectTo(collector.url);
  socket.write("POST /v2j HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
  socket.destroy();
  assert.equal((await send(collector, "[1]"))[0], 200);
  assert.deepEqual([collector.problems, collector.received], [[], [1]]);
});

test("events without ids are received each time, and events with ids once", LIMIT, async () => {
  await using collector = await FakeCollector.open();
  await send(collector, "[1,2]");
  await send(collector, "[1,2]", {}, "/some/where/v2j");
  assert.deepEqual([collector.received, collector.repeated], [[1, 2, 1, 2], 0]);
  await send(collector, "[7,9,10]", { "Event-Ids": `${QUEUE}:7,9-10` });
  await send(collector, "[9,10,11]", { "Event-Ids": `${QUEUE}:9-11` });
  await send(
    collector,
    '{"1":{"lst":["rec",1,{"2":{"str":"a"}}]}}',
    { "Event-Ids": `${OTHER_QUEUE}:9` },
    "/v2",
  );
  assert.deepEqual(collector.received.slice(4), [7, 9, 10, 11, { 2: { str: "a" } }]);
  assert.equal(collector.repeated, 2);
});
