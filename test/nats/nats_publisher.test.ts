import assert from "node:assert/strict";
import { test } from "node:test";
import type { NatsConnectionConfig } from "../../src/config/nats_config.ts";
import { NatsPublisher, type NatsPublisherOptions } from "../../src/nats/nats_publisher.ts";
import type { Messages } from "../../src/nats/published.ts";
import { type NatsServer, NO_NATS, openNats, startNats } from "../support/nats.ts";

const skip = NO_NATS;
const RUNNING = new AbortController().signal;

function connection(...servers: readonly NatsServer[]): NatsConnectionConfig {
  return {
    servers: servers.map(({ address }) => address),
    login: undefined,
    tls: undefined,
    inboxPrefix: "_INBOX",
    timeoutMs: 30_000,
  };
}

function publisher(server: NatsServer, options: Partial<NatsPublisherOptions & NatsConnectionConfig> = {}) {
  const natsPublisher = new NatsPublisher(
    { ...connection(server), ...options },
    { name: "test", ...options },
  );
  return Object.assign(natsPublisher, { [Symbol.asyncDispose]: () => natsPublisher.close() });
}

function messages(texts: readonly string[], subject = "events.v2"): Messages {
  return {
    count: texts.length,
    subject: () => subject,
    id: (index) => texts[index]!.slice(0, 20),
    body: (index) => Buffer.from(texts[index]!),
  };
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, n) => `event ${n}`);

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
    refused: [],
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
