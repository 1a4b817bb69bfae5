import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_NATS, openNats, startNats } from "../../support/nats.ts";
import { messages, numbered, publisher, RUNNING } from "../../support/nats_publisher.ts";

const skip = NO_NATS;

test("messages are stored under their ids, in order, and once when they are published again", {
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

test("one call's messages beyond a window, and those of many callers at once, are all answered", {
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

test("a message without an id is stored each time", { skip }, async () => {
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

test("nothing to publish is published at once", { skip }, async () => {
  await using server = await startNats();
  await using nats = publisher(server);
  const nothing = { duplicates: 0, rejected: [], undelivered: [], failure: undefined };
  assert.deepEqual(await nats.publishAll(messages([]), RUNNING), nothing);
});

test("a message beyond max_payload is rejected by itself, and the others are stored", { skip }, async () => {
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

test("a message beyond the stream's max_msg_size is rejected by itself, and the others are stored", {
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

test("a subject that is none is rejected by itself", { skip }, async () => {
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
