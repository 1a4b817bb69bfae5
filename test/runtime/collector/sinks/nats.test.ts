import assert from "node:assert/strict";
import { test } from "node:test";
import { NatsSink } from "../../../../src/collector/sinks/nats.ts";
import { type AcceptedBatch, EventList } from "../../../../src/collector/sinks/sink.ts";
import type { NatsSinkConfig } from "../../../../src/config/nats_config.ts";
import { SubjectTemplate } from "../../../../src/config/subject_template.ts";
import { EventStorageError } from "../../../../src/errors.ts";
import { parseEventIds } from "../../../../src/wire/event_ids.ts";
import { eventually } from "../../../support/eventually.ts";
import { type NatsServer, NO_NATS, openNats, startNats } from "../../../support/nats.ts";
import { connection } from "../../../support/nats_publisher.ts";

const skip = NO_NATS;
const STREAM = { name: "EVENTS", subjects: ["events.>"] };
const UUID = "0e3b2a44-5d1c-4c59-8a52-7b1f6e2d9c10";

function open(server: NatsServer, subject: string = "events.{key}"): NatsSink & AsyncDisposable {
  const config: NatsSinkConfig = {
    ...connection([server]),
    kind: "nats",
    stream: "EVENTS",
    subject: new SubjectTemplate(subject, "key"),
  };
  const sink = new NatsSink(config);
  return Object.assign(sink, { [Symbol.asyncDispose]: () => sink.close() });
}

function batchOf(texts: readonly string[], eventIds?: string): AcceptedBatch {
  const bounds: number[] = [];
  let at = 1;
  for (const text of texts) {
    bounds.push(at, at + Buffer.byteLength(text));
    at += Buffer.byteLength(text) + 1;
  }
  const events = new EventList(Buffer.from(`[${texts.join(",")}]`), new Uint32Array(bounds));
  const ids = eventIds === undefined ? undefined : parseEventIds(`${UUID}:${eventIds}`);
  return { events, version: "2j", keyName: "web", source: "web", ids };
}

test("each event is a message with an id of its queue, and duplicates are dropped", {
  skip,
}, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream(STREAM);
  await using sink = open(server);
  assert.deepEqual(await sink.store(batchOf(['{"é":1}', "2", "3"], "7-8,10")), { stored: 3, duplicates: 0 });
  await using another = open(server);
  assert.deepEqual(await another.store(batchOf(["2", "3", "4"], "8,10-11")), { stored: 1, duplicates: 2 });
  assert.deepEqual(await client.read("EVENTS"), [
    { subject: "events.web", id: `web/${UUID}:7`, text: '{"é":1}' },
    { subject: "events.web", id: `web/${UUID}:8`, text: "2" },
    { subject: "events.web", id: `web/${UUID}:10`, text: "3" },
    { subject: "events.web", id: `web/${UUID}:11`, text: "4" },
  ]);
});

test("events without ids are stored each time", { skip }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream(STREAM);
  await using sink = open(server, "events.{kind}");
  const batch = batchOf(['{"kind":"vote"}']);
  assert.deepEqual(await sink.store(batch), { stored: 1, duplicates: 0 });
  assert.deepEqual(await sink.store(batch), { stored: 1, duplicates: 0 });
  const vote = { subject: "events.vote", id: "", text: '{"kind":"vote"}' };
  assert.deepEqual(await client.read("EVENTS"), [vote, vote]);
});

test("ids are used only if there is one per event", { skip }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream(STREAM);
  await using sink = open(server);
  await sink.store(batchOf(["1", "2"], "7"));
  assert.deepEqual(
    (await client.read("EVENTS")).map(({ id }) => id),
    ["", ""],
  );
});

test("a batch is rejected while the stream is missing, full or unreachable, and the error says which", {
  skip,
}, async () => {
  await using server = await startNats();
  await using sink = open(server);
  const rejects = async (code: string, message: RegExp): Promise<void> => {
    await assert.rejects(sink.store(batchOf(["1", "2", "3"], "1-3")), (error: EventStorageError) => {
      assert.ok(error instanceof EventStorageError);
      assert.equal(error.code, code);
      assert.match(error.message, /^The stream did not store the whole batch: /);
      assert.match(error.message, message);
      return true;
    });
  };
  await rejects("NATS_MISCONFIGURED", /no stream takes subject events\.web/);
  {
    await using client = await openNats(server);
    await client.makeStream({ ...STREAM, max_msgs: 2, discard: "new" });
    await rejects("NATS_UNAVAILABLE", /the stream is full/);
    await client.jsm.streams.update("EVENTS", { max_msgs: 100 });
    assert.deepEqual(await sink.store(batchOf(["1", "2", "3"], "1-3")), { stored: 1, duplicates: 2 });
    await client.jsm.streams.update("EVENTS", { max_msg_size: 100 });
    const large = batchOf(["4", JSON.stringify("x".repeat(100))], "4-5");
    const { rejected = [], ...kept } = await sink.store(large);
    assert.deepEqual(kept, { stored: 1, duplicates: 0 });
    assert.deepEqual(
      rejected.map(({ index }) => index),
      [1],
    );
    assert.match(rejected[0]!.error, /max_msg_size/);
  }
  await server.kill();
  await rejects("NATS_UNAVAILABLE", /cannot be reached/);
  await server.start();
  await eventually("a batch that is kept", () => sink.store(batchOf(["4"], "4")).catch(() => undefined));
  await using client = await openNats(server);
  assert.deepEqual(
    (await client.read("EVENTS")).map(({ text }) => text),
    ["1", "2", "3", "4"],
  );
});

test("close finishes the batches in flight", { skip }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream(STREAM);
  const sink = open(server);
  const storing = sink.store(batchOf(["1"]));
  await sink.close();
  assert.deepEqual(await storing, { stored: 1, duplicates: 0 });
});
