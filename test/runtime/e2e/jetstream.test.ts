import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { NO_NATS, openNats, startNats } from "../../support/nats.ts";
import { numbersFrom } from "../../support/scripted_collector.ts";
import { freePorts } from "../../support/servers.ts";
import { addressOf, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 300_000, skip: NO_NATS };

test(
  "events pass a collector that is killed, and its successor, into a stream that is full for a while, each once",
  LIMIT,
  async () => {
    await using server = await startNats("max_payload: 50000");
    await using client = await openNats(server);
    await client.makeStream({ name: "EVENTS", subjects: ["events.>"], max_msgs: 500, discard: "new" });
    using spool = new Spool();
    const sink = { sink: "nats", output: "", "nats.servers": server.address, "nats.stream": "EVENTS" };
    const host = `127.0.0.1:${(await freePorts(1))[0]}`;
    await using first = spool.collector({ ...sink, listen: host });
    await addressOf(first);
    await using publisher = spool.quickPublisher({ backoffMaxMs: 1_000 }, { "collector.hostname": host });

    spool.put(1_000);
    const line = await publisher.line(/responded with 503/);
    assert.match(line, /The destination is unavailable/);
    await first.line(/The stream did not store the whole batch: .*the stream is full/);
    assert.equal((await client.jsm.streams.info("EVENTS")).state.messages, 500);

    await client.jsm.streams.update("EVENTS", { max_msgs: -1 });
    await stop(first, "SIGKILL");
    await using second = spool.collector({ ...sink, listen: host });
    await addressOf(second);
    spool.put(1_000);
    spool.queue.put({ n: "large", text: "x".repeat(60_000) });
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    const stored = (await client.read("EVENTS")).map(({ text }) => (JSON.parse(text) as { n: number }).n);
    assert.deepEqual(
      stored.toSorted((a, b) => a - b),
      numbersFrom(1, 2_000),
    );
    assert.deepEqual(
      spool.deadLetters().map(({ status }) => status),
      [422],
    );
    assert.equal(await stop(publisher), 0);
    assert.equal(await stop(second), 0);
  },
);
