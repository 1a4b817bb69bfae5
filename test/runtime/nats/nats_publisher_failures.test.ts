import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { NO_NATS, openNats, startNats } from "../../support/nats.ts";
import { messages, numbered, publisher, RUNNING } from "../../support/nats_publisher.ts";

const skip = NO_NATS;

test("a full stream leaves the rest undelivered", { skip }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream({ name: "EVENTS", subjects: ["events.>"], max_msgs: 100, discard: "new" });
  await using nats = publisher(server);

  const published = await nats.publishAll(messages(numbered(5_000)), RUNNING);
  assert.equal(published.failure?.kind, "unavailable");
  assert.match(published.failure.reason, /maximum messages exceeded.*the stream is full/);
  assert.deepEqual(
    published.undelivered,
    Array.from({ length: 4_900 }, (_, n) => n + 100),
  );
  assert.equal((await client.read("EVENTS")).length, 100);
});

test("a stream that is full by its bytes leaves the rest undelivered", { skip }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream({ name: "EVENTS", subjects: ["events.>"], max_bytes: 10_000, discard: "new" });
  await using nats = publisher(server);

  const published = await nats.publishAll(messages(["a", "b".repeat(50_000)]), RUNNING);
  assert.deepEqual(published.undelivered, [1]);
  assert.match(published.failure!.reason, /maximum bytes exceeded.*the stream is full/);
});

test("a missing stream is a wrong configuration", { skip }, async () => {
  await using server = await startNats();
  await using nats = publisher(server);
  const { failure, undelivered } = await nats.publishAll(messages(["a", "b"], "events.v2"), RUNNING);
  assert.deepEqual(undelivered, [0, 1]);
  assert.deepEqual(failure, {
    kind: "misconfigured",
    reason:
      "no stream takes subject events.v2: create one, such as: nats stream add EVENTS --subjects='events.v2'",
  });
});

test("a server without JetStream is a wrong configuration", { skip }, async () => {
  await using server = await startNats("", { hasJetStream: false });
  await using nats = publisher(server);
  const { failure } = await nats.publishAll(messages(["a"]), RUNNING);
  assert.deepEqual(failure, {
    kind: "misconfigured",
    reason: `JetStream is not enabled on the server at ${server.address}, or not for this account`,
  });
});

test("a subject of another stream is a wrong configuration", { skip }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream({ name: "OTHER", subjects: ["events.>"] });
  await using nats = publisher(server, { expectedStream: "EVENTS" });
  const { failure } = await nats.publishAll(messages(["a"]), RUNNING);
  assert.equal(failure?.kind, "misconfigured");
  assert.match(
    failure.reason,
    /expected stream does not match.*the subject belongs to another stream than nats\.stream/,
  );
});

test("a missing stream is a wrong configuration, too, if another client listens and nobody responds", {
  skip,
}, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  client.nc.subscribe("events.>", { callback: () => {} });
  await client.nc.flush();
  await using nats = publisher(server, { timeoutMs: 300 });
  const { failure } = await nats.publishAll(messages(["a"]), RUNNING);
  assert.deepEqual([failure?.kind, failure?.isTransport], ["misconfigured", true]);
  assert.match(failure!.reason, /no stream takes subject events\.v2/);
});

test("a response that is not from a stream is a wrong configuration", { skip }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  client.nc.subscribe("events.v2", { callback: (_, message) => void message.respond("thanks") });
  await client.nc.flush();
  await using nats = publisher(server);
  const { failure } = await nats.publishAll(messages(["a"]), RUNNING);
  assert.deepEqual(failure, {
    kind: "misconfigured",
    reason: "the response is not from a JetStream stream: thanks",
    isTransport: true,
  });
});

test("a publish fails while the server is down, and succeeds later", {
  skip,
}, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream({ name: "EVENTS", subjects: ["events.>"] });
  await using nats = publisher(server);
  await nats.publishAll(messages(["before"]), RUNNING);
  await server.kill();
  const { failure, undelivered } = await nats.publishAll(messages(["meanwhile"]), RUNNING);
  assert.equal(failure?.kind, "unavailable");
  assert.match(failure.reason, /^NATS at 127\.0\.0\.1:\d+ cannot be reached: /);
  assert.deepEqual(undelivered, [0]);

  await server.start();
  await eventually("a message that is stored", async () => {
    const { undelivered } = await nats.publishAll(messages(["after"]), RUNNING);
    return undelivered.length === 0;
  });
  await using after = await openNats(server);
  assert.deepEqual(
    (await after.read("EVENTS")).map(({ text }) => text),
    ["before", "after"],
  );
});

test("a publish ends when the server dies, and ids prevent that messages are stored twice", {
  skip,
}, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream({ name: "EVENTS", subjects: ["events.>"] });
  await using nats = publisher(server);
  await nats.publishAll(messages(["first"]), RUNNING);

  const all = messages(numbered(10_000));
  let killed: Promise<void> | undefined;
  const body = (index: number): Uint8Array => {
    if (index === 5_000) killed = server.kill(); // at most 2,000 are in flight, and no later one is sent
    return all.body(index);
  };
  const { failure, undelivered } = await nats.publishAll({ ...all, body }, RUNNING);
  await killed;
  assert.equal(failure?.kind, "unavailable");
  assert.ok(undelivered.length > 0 && undelivered.length < 10_000, `${undelivered.length}`);

  await server.start();
  await eventually(
    "all messages stored",
    async () => (await nats.publishAll(all, RUNNING)).undelivered.length === 0,
  );
  await using after = await openNats(server);
  const stored = (await after.read("EVENTS")).map(({ text }) => text).sort();
  assert.deepEqual(stored, ["first", ...numbered(10_000)].sort());
});

test("a publish waits for a hanging server until the timeout, and ids prevent that messages are stored twice", {
  skip,
}, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream({ name: "EVENTS", subjects: ["events.>"] });
  await using nats = publisher(server, { timeoutMs: 1_000 });
  await eventually(
    "a message that is stored",
    async () => (await nats.publishAll(messages(["first"]), RUNNING)).undelivered.length === 0,
  );
  await server.freeze();
  const { failure, undelivered } = await nats.publishAll(messages(["a"]), RUNNING);
  server.thaw();
  assert.deepEqual(undelivered, [0]);
  assert.deepEqual(failure, {
    kind: "unavailable",
    reason: "some messages got no response within 1000 ms: see nats.timeout",
    isTransport: true,
  });
  await eventually(
    "an answer",
    async () => (await nats.publishAll(messages(["a"]), RUNNING)).duplicates === 1,
  );
  assert.equal((await client.read("EVENTS")).length, 2);
});

test("a stop ends the wait", { skip }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream({ name: "EVENTS", subjects: ["events.>"] });
  await using nats = publisher(server);
  await nats.publishAll(messages(["first"]), RUNNING);
  await server.freeze();
  const stop = new AbortController();
  const publishing = nats.publishAll(messages(["a"]), stop.signal);
  stop.abort();
  const { failure } = await publishing;
  assert.deepEqual(failure, {
    kind: "unavailable",
    reason: "the grace time of the stop has ended",
    isTransport: true,
  });
  const { failure: later } = await nats.publishAll(messages(["b"]), stop.signal);
  assert.deepEqual(later, failure);
  server.thaw();
});
