import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parsePublisherConfig } from "../../../../src/config/publisher_config.ts";
import type { Destination, Outcome } from "../../../../src/publisher/destinations/destination.ts";
import { openDestination } from "../../../../src/publisher/destinations/open_destination.ts";
import { EventQueue } from "../../../../src/queue/event_queue.ts";
import { iniOf } from "../../../support/config.ts";
import { eventually } from "../../../support/eventually.ts";
import { type NatsServer, NO_NATS, openNats, startNats } from "../../../support/nats.ts";
import { RUNNING } from "../../../support/nats_publisher.ts";
import { newPublisher, newQueue, type Settings } from "../../../support/publisher.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";

const skip = NO_NATS;
const STREAM = { name: "EVENTS", subjects: ["events.>"] };
const UUID = "0e3b2a44-5d1c-4c59-8a52-7b1f6e2d9c10";

function open(server: NatsServer, settings: Settings = {}): Destination & AsyncDisposable {
  const all = { destination: "nats", "nats.servers": server.address, "nats.timeout": "60s", ...settings };
  const config = parsePublisherConfig(iniOf("event-publisher:main", all), { env: {} });
  const destination = openDestination(config);
  return Object.assign(destination, { [Symbol.asyncDispose]: () => destination.close() });
}

/** Delivers events whose ids begin at 11. */
async function deliver(destination: Destination, ...events: string[]): Promise<Outcome> {
  const stored = events.map((text, index) => ({ id: 11 + index, putAtMs: 0, body: Buffer.from(text) }));
  const range = { firstId: 11, lastId: 10 + events.length, count: events.length };
  const joined = Buffer.from(events.join(","));
  const batch = { queue: "main", queueUuid: UUID, ...range, joined, events: () => stored };
  return (await destination.prepare(batch)).send(RUNNING);
}

test("each event is a message, named by its queue and row, and comes once however often it is sent", {
  skip,
}, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream(STREAM);
  await using destination = open(server, { "nats.stream": "EVENTS" });
  const first = await deliver(destination, '{"a":1}', '{"é":2}');
  const second = await deliver(destination, '{"a":1}', '{"é":2}', '{"c":3}');
  assert.deepEqual(
    [first, second],
    [
      { kind: "accepted", duplicates: 0 },
      { kind: "accepted", duplicates: 2 },
    ],
  );
  assert.deepEqual(await client.read("EVENTS"), [
    { subject: "events.main", id: `${UUID}:11`, text: '{"a":1}' },
    { subject: "events.main", id: `${UUID}:12`, text: '{"é":2}' },
    { subject: "events.main", id: `${UUID}:13`, text: '{"c":3}' },
  ]);
});

test("a field of the event chooses its subject", { skip }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream(STREAM);
  await using destination = open(server, { "nats.subject": "events.{queue}.{topic}" });
  await deliver(destination, '{"topic":"vote"}', '{"topic":"a > b.*"}', "{}");
  assert.deepEqual(
    (await client.read("EVENTS")).map(({ subject }) => subject),
    ["events.main.vote", "events.main.a___b__", "events.main._"],
  );
});

test("a whole batch is a message, framed as a collector gets it", { skip }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream(STREAM);
  await using two = open(server, { "nats.messages": "batch" });
  const repeated = [await deliver(two, '{"1":{"i32":1}}'), await deliver(two, '{"1":{"i32":1}}')];
  assert.deepEqual(repeated, [
    { kind: "accepted", duplicates: 0 },
    { kind: "accepted", duplicates: 1 },
  ]);
  await using json = open(server, { "nats.messages": "batch", "nats.batch_version": "2j" });
  await deliver(json, "1", "2");
  assert.deepEqual(await client.read("EVENTS"), [
    { subject: "events.main", id: `${UUID}:11`, text: '{"1":{"lst":["rec",1,{"1":{"i32":1}}]}}' },
    { subject: "events.main", id: `${UUID}:11-12`, text: "[1,2]" },
  ]);
});

test("an event that is too large is rejected by itself; a batch that is, as a whole", { skip }, async () => {
  await using server = await startNats("max_payload: 1000");
  await using client = await openNats(server);
  await client.makeStream(STREAM);
  const large = JSON.stringify("x".repeat(1_000));
  const tooLarge = /bytes and its headers exceed the server's limit of 1000: see its max_payload/;

  await using each = open(server);
  const outcome = await deliver(each, "1", large, "3");
  assert.equal(outcome.kind, "partial");
  assert.deepEqual(outcome.undelivered, []);
  assert.deepEqual(
    outcome.rejected.map(({ id, status }) => [id, status]),
    [[12, 413]],
  );
  assert.match(outcome.rejected[0]!.response, tooLarge);

  await using whole = open(server, { "nats.messages": "batch" });
  const rejected = await deliver(whole, "1", large);
  assert.ok(rejected.kind === "rejected" && rejected.status === 413);
  assert.match(rejected.response, tooLarge);
});

test("a stream that fills up takes some of a batch, and names the others", { skip }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream({ ...STREAM, max_msgs: 2, discard: "new" });
  await using destination = open(server);
  const some = await deliver(destination, "1", "2", "3", "4");
  assert.equal(some.kind, "partial");
  assert.deepEqual([some.rejected, some.undelivered, some.failure?.kind], [[], [13, 14], "unavailable"]);
  assert.deepEqual(await deliver(destination, "1", "2", "3", "4"), { ...some, duplicates: 2 });
});

test("a failure that concerns all is an outcome of its own", { skip }, async () => {
  await using server = await startNats();
  await using destination = open(server);
  const missing = await deliver(destination, "1");
  assert.equal(missing.kind, "misconfigured");
  await server.kill();
  const away = await deliver(destination, "1");
  assert.ok(away.kind === "unavailable" && away.isTransport);
});

test("a publisher takes a queue to a stream, makes dead letters of what it rejects, and continues when the server is back", {
  skip,
}, async () => {
  await using server = await startNats("max_payload: 50000");
  {
    await using client = await openNats(server);
    await client.makeStream(STREAM);
  }
  const settings = { destination: "nats", "nats.servers": server.address };
  await using main = newQueue("http://unused", settings);
  main.queue.putMany([...Array(1_000).keys()].map((n) => ({ n })));
  main.queue.put({ n: "large", text: "x".repeat(60_000) });
  main.queue.putMany([...Array(1_000).keys()].map((n) => ({ n: n + 1_000 })));
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);
  assert.deepEqual(
    main.publisher.deadLetters.list({ limit: 10 }).map(({ status }) => status),
    [413],
  );

  await server.kill();
  main.queue.putMany([...Array(1_000).keys()].map((n) => ({ n: n + 2_000 })));
  await eventually("a failure", () => main.publisher.status().consecutiveFailures > 0);
  assert.match(main.publisher.status().lastProblem!.message, /^NATS at .* cannot be reached/);
  await server.start();
  await eventually("an empty queue", () => main.queue.depth() === 0);

  await using client = await openNats(server);
  const numbers = (await client.read("EVENTS")).map(({ text }) => JSON.parse(text).n as number);
  assert.deepEqual(
    numbers.toSorted((a, b) => a - b),
    [...Array(3_000).keys()],
  );
});

for (const messages of ["event", "batch"])
  test(`the stream gets each event that is put after the queue's file was rolled back in place (nats.messages = ${messages})`, {
    skip,
  }, async () => {
    await using server = await startNats();
    await using client = await openNats(server);
    await client.makeStream(STREAM);
    using directory = temporaryDirectory();
    const settings = {
      destination: "nats",
      "nats.servers": server.address,
      "nats.messages": messages,
      "nats.batch_version": "2j",
    };
    /** Puts events, publishes them, and closes the file. Returns how many rollbacks were found out. */
    const putAndPublish = async (...names: string[]): Promise<number> => {
      await using publisher = newPublisher("http://unused", directory.path, settings);
      using queue = new EventQueue<string>("main", (name) => Buffer.from(JSON.stringify(name)), {
        directory: directory.path,
      });
      queue.putMany(names);
      const stop = new AbortController();
      const running = publisher.run({ signal: stop.signal });
      await eventually("an empty queue", () => queue.depth() === 0);
      stop.abort();
      await running;
      return publisher.metrics().counts.rollbacks;
    };
    const file = join(directory.path, "events-main.db");
    assert.equal(await putAndPublish("a", "b"), 0);
    const bytes = readFileSync(file);
    assert.equal(await putAndPublish("c", "d", "e"), 0);

    writeFileSync(file, bytes);
    assert.equal(await putAndPublish("f", "g", "h"), 1);
    assert.equal(await putAndPublish("i"), 0);
    const texts = (await client.read("EVENTS")).flatMap(({ text }) => JSON.parse(text) as string | string[]);
    assert.deepEqual(texts, ["a", "b", "c", "d", "e", "f", "g", "h", "i"]);
  });
