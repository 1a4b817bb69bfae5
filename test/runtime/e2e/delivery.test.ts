import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Event } from "../../../examples/thrift/gen-nodejs/event_types.cjs";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeV2Event } from "../../../src/serializers/thrift.ts";
import { eventually } from "../../support/eventually.ts";
import { namedIds, numbersFrom, ScriptedCollector } from "../../support/scripted_collector.ts";
import { addressOf, publishing, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 300_000 };

/** What the real collector has written, by lines. */
function linesOf(path: string): string[] {
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : [];
}

/** JSON that parsing and writing anew would change. */
const DELICATE = [
  '{"id": 9007199254740993}',
  '{"b":1,"a":{},"b":2}',
  '"\\ud83d\\ude00 \u{1f600} \\u0000"',
  "[1.0,1e2,-0]",
  '{"nested":"[1,2],{","comma":","}',
];

test("delivers v2j events to the collector byte for byte, each once, and removes them", LIMIT, async () => {
  using spool = new Spool();
  await using collector = spool.collector();
  const { host } = await addressOf(collector);
  await using publisher = spool.publisher({ "collector.hostname": host });
  for (const text of DELICATE) spool.queue.put(Buffer.from(text));
  const many = numbersFrom(1, 2_000).map((n) => `{"n":${n},"text":"é\\n${"x".repeat(n % 700)}"}`);
  spool.queue.putMany(many.map((text) => Buffer.from(text)));

  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.equal(await stop(publisher), 0);
  assert.deepEqual(linesOf(spool.collected).toSorted(), [...DELICATE, ...many].toSorted());
  assert.deepEqual(spool.leases(), []);
  assert.equal(await stop(collector), 0);
});

test("delivers v2 events in Thrift to the collector byte for byte, each once", LIMIT, async () => {
  using spool = new Spool();
  using queue = new EventQueue("main", serializeV2Event, { directory: spool.directory });
  await using collector = spool.collector();
  const { host } = await addressOf(collector);
  await using publisher = spool.publisher({ "collector.hostname": host, "collector.version": "2" });
  const events = numbersFrom(1, 500).map(
    (n) =>
      new Event({
        source: "web",
        action: "view",
        noun: "a\u2028\u{1f600}",
        client_timestamp: 2n ** 60n + BigInt(n),
        uuid: `20de9dec-6632-44fa-a3a3-${String(n).padStart(12, "0")}`,
      }),
  );
  queue.putMany(events);

  await eventually("an empty queue", () => queue.depth() === 0);
  assert.equal(await stop(publisher), 0);
  const expected = events.map((event) => Buffer.from(serializeV2Event(event)).toString());
  assert.deepEqual(linesOf(spool.collected), expected);
});

test("names the rows of each request in Event-Ids", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  await using _publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });
  spool.put(300, { text: "x".repeat(10_000) });
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  spool.put(1);
  await eventually("an empty queue", () => spool.queue.depth() === 0);

  assert.ok(collector.batches.length > 5, "3 MB are more than 5 batches");
  for (const { eventIds, numbers } of collector.batches) assert.deepEqual(namedIds(eventIds), numbers);
  const queues = new Set(collector.batches.map(({ eventIds }) => eventIds.split(":")[0]));
  assert.equal(queues.size, 1);
  assert.deepEqual(
    collector.acceptedNumbers.toSorted((a, b) => a - b),
    numbersFrom(1, 301),
  );
  assert.deepEqual(collector.problems, []);
});

test("sends a batch that is full at once, and keeps collecting the next", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  await using _publisher = spool.publisher({
    "collector.hostname": `127.0.0.1:${collector.port}`,
    "batch.max_age": "1h",
    "batch.min_interval": "1h",
    "batch.max_bytes": "110kB",
  });
  spool.put(3, { text: "x".repeat(50_000) });
  await eventually("one event left", () => spool.queue.depth() === 1);
  assert.deepEqual(collector.acceptedNumbers, [1, 2]);
});

/** Puts an event alone, and two soon after. Undefined: the machine was too busy for "soon". */
async function gathered(): Promise<(readonly number[])[] | undefined> {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  const settings = { "collector.hostname": `127.0.0.1:${collector.port}`, "batch.max_age": "1h" };
  await using publisher = spool.publisher({ ...settings, "batch.min_interval": "5s" });
  await publishing(publisher);
  const startedAtMs = performance.now();
  spool.put(1);
  await eventually("the first event", () => collector.acceptedNumbers.length === 1);
  spool.put(1);
  await sleep(500); // long enough for it to be sent by itself, if it did not wait
  spool.put(1);
  if (performance.now() - startedAtMs > 4_500) return undefined;
  await eventually("both others", () => collector.acceptedNumbers.length === 3);
  return collector.batches.map(({ numbers }) => numbers);
}

test("sends an event that comes alone at once, and gathers those that come soon after", LIMIT, async () => {
  assert.deepEqual(await eventually("a machine that is not too busy", gathered), [[1], [2, 3]]);
});
