import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_NATS, openNats, startNats } from "../../support/nats.ts";
import { messages, numbered, publisher, RUNNING } from "../../support/nats_publisher.ts";

const skip = NO_NATS;

test("stores messages under their ids, in order, and only once when they are published again", {
  skip,
}, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream({ name: "EVENTS", subjects: ["events.>"] });
  await using nats = publisher(server);

  const all = messages(numbered(5_000));
  assert.deepEqual(await nats.publishAll(all, RUNNING), {
    duplicates: 0,
    rejected: [],
    undelivered: [],
    failure: undefined,
  });
  const again = await nats.publishAll(all, RUNNING);
  assert.equal(again.duplicates, 5_000);
  assert.deepEqual(again.undelivered, []);

  const stored = await client.read("EVENTS");
  assert.deepEqual(
    stored.map(({ text }) => text),
    numbered(5_000),
  );
  assert.deepEqual(
    stored.map(({ id }) => id),
    numbered(5_000),
  );
});

test("publishes more messages than may be in flight, and those of many calls at once", {
  skip,
}, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream({ name: "EVENTS", subjects: ["events.>"] });
  await using nats = publisher(server);

  const calls = Array.from({ length: 20 }, (_, call) =>
    nats.publishAll(messages(numbered(500).map((text) => `${call} ${text}`)), RUNNING),
  );
  for (const published of await Promise.all(calls)) assert.equal(published.failure, undefined);
  const stored = await client.read("EVENTS");
  assert.equal(new Set(stored.map(({ text }) => text)).size, 10_000);
  assert.equal(stored.length, 10_000);
});

test("stores a message without an id each time", { skip }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream({ name: "EVENTS", subjects: ["events.>"] });
  await using nats = publisher(server);

  await nats.publishAll({ ...messages(["a"]), id: () => "a" }, RUNNING);
  const anonymous = { ...messages(["b"]), id: () => undefined };
  await nats.publishAll(anonymous, RUNNING);
  await nats.publishAll(anonymous, RUNNING);
  assert.deepEqual(
    (await client.read("EVENTS")).map(({ id, text }) => [id, text]),
    [
      ["a", "a"],
      ["", "b"],
      ["", "b"],
    ],
  );
});

test("publishes an empty list at once", { skip }, async () => {
  await using server = await startNats();
  await using nats = publisher(server);
  const nothing = { duplicates: 0, rejected: [], undelivered: [], failure: undefined };
  assert.deepEqual(await nats.publishAll(messages([]), RUNNING), nothing);
});

test("rejects only the message above max_payload, and stores the others", { skip }, async () => {
  await using server = await startNats("max_payload: 1000");
  await using client = await openNats(server);
  await client.makeStream({ name: "EVENTS", subjects: ["events.>"] });
  await using nats = publisher(server);

  const published = await nats.publishAll(messages(["a", "x".repeat(1_000), "c"]), RUNNING);
  const reason = "1000 bytes and its headers exceed the server's limit of 1000: see its max_payload";
  assert.deepEqual(published.rejected, [{ index: 1, reason, isTooLarge: true }]);
  assert.deepEqual(published.undelivered, []);
  assert.deepEqual(
    (await client.read("EVENTS")).map(({ text }) => text),
    ["a", "c"],
  );
});

test("rejects only the message above the stream's max_msg_size, and stores the others", {
  skip,
}, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream({ name: "EVENTS", subjects: ["events.>"], max_msg_size: 500 });
  await using nats = publisher(server);

  const published = await nats.publishAll(messages(["a", "x".repeat(1_000), "c"]), RUNNING);
  assert.equal(published.rejected.length, 1);
  assert.equal(published.rejected[0]!.index, 1);
  assert.match(published.rejected[0]!.reason, /message size exceeds maximum allowed.*max_msg_size/);
  assert.deepEqual(
    (await client.read("EVENTS")).map(({ text }) => text),
    ["a", "c"],
  );
});

test("rejects only the message with an invalid subject", { skip }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream({ name: "EVENTS", subjects: ["events.>"] });
  await using nats = publisher(server);

  const two = {
    ...messages(["a", "b"]),
    subject: (index: number) => (index === 0 ? "events.a b" : "events.b"),
  };
  const { rejected, undelivered } = await nats.publishAll(two, RUNNING);
  assert.deepEqual(rejected, [{ index: 0, reason: "illegal subject: 'events.a b'", isTooLarge: false }]);
  assert.deepEqual(undelivered, []);
});
