/**
 * What a service does with each entry point of the package, as tests that `node --test` runs in a project that has
 * the package installed: no `using`, which Node 22 does not know.
 */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import * as eventspool from "eventspool";
import { admin } from "eventspool/admin";
import { collector, collectorAdmin, JsonlSink, SqliteSink } from "eventspool/collector";
import { eventQueues } from "eventspool/hono";
import { Outbox } from "eventspool/outbox";
import { loadPublisherConfig, Publisher } from "eventspool/publisher";
import { FakeCollector, publish, responses, TestEventQueue } from "eventspool/testing";
import { serializeV2Event } from "eventspool/thrift";
import { Hono } from "hono";

const { EventQueue, serializeJsonEvent } = eventspool;

const SECRET = Buffer.from("a secret of the tests");

interface Numbered {
  readonly n: number;
}

let directory = "";
let fake: FakeCollector;

before(async () => {
  directory = resolve(mkdtempSync("files-"));
  fake = await FakeCollector.open();
});

after(() => fake[Symbol.asyncDispose]());

test("eventspool: puts one, many and grouped, up to the cap", async () => {
  const events = new EventQueue("main", serializeJsonEvent, { directory, maxEvents: 4 });
  events.put({ n: 1 });
  events.putMany([{ n: 2 }, { n: 3 }]);
  await events.putAsync({ n: 4 });
  assert.equal(events.depth(), 4);
  assert.throws(() => events.put({ n: 5 }), eventspool.EventQueueFullError);
  assert.throws(() => events.put({ n: 1n }), eventspool.EventSerializationError);
  assert.throws(() => events.put({ text: "x".repeat(102_400) }), eventspool.EventTooLargeError);
  events.close();
  assert.throws(() => events.put({ n: 6 }), eventspool.EventQueueClosedError);
});

test("eventspool/publisher and /admin: publishes what the configuration file says", async (t) => {
  const file = join(directory, "publisher.ini");
  const settings = { ...fake.settings, "collector.version": "2j", "queue.directory": resolve(directory) };
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
  writeFileSync(file, `[event-publisher:main]\n${lines.join("")}`, { mode: 0o600 });
  const publisher = new Publisher(loadPublisherConfig(file, { queueName: "main" }));
  t.after(() => publisher[Symbol.asyncDispose]());
  const stop = new AbortController();
  const ended = publisher.run({ signal: stop.signal });
  assert.deepEqual(await fake.waitFor(4), [{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }]);
  while (publisher.status().state.depth > 0) await setImmediate();
  const app = admin(publisher);
  assert.equal((await app.request("/health")).status, 200);
  assert.match(await (await app.request("/metrics")).text(), /^eventspool_/m);
  assert.equal((await app.request("/")).status, 200);
  stop.abort();
  await ended;
});

test("eventspool/testing: dead letters that the collector rejects, and that are retried", async (t) => {
  const events = new TestEventQueue("main", serializeJsonEvent);
  const strict = await FakeCollector.open();
  t.after(() => strict[Symbol.asyncDispose]());
  strict.respond = responses.reject(({ n }: Numbered) => n === 2);
  const publisher = publish(events, strict);
  t.after(() => publisher[Symbol.asyncDispose]());
  events.putMany([{ n: 1 }, { n: 2 }, { n: 3 }]);
  assert.equal((await strict.waitFor(2)).length, 2);
  while (publisher.deadLetters.list({ limit: 10 }).length === 0) await setImmediate();
  strict.respond = () => ({ status: 200 });
  await publisher.deadLetters.retry({ ids: [2] });
  const received = (await strict.waitFor(3)) as Numbered[];
  assert.deepEqual(received.map(({ n }) => n).toSorted(), [1, 2, 3]);
  await publisher[Symbol.asyncDispose]();
  events.close();
});

for (const [name, open] of [
  ["JSON lines", (path: string) => new JsonlSink(path)],
  ["SQLite", (path: string) => new SqliteSink(path)],
] as const) {
  test(`eventspool/collector: keeps a signed batch in ${name}, and rejects others`, async () => {
    const sink = open(join(directory, `kept in ${name}`));
    const app = collector({ keys: new Map([["host", SECRET]]), sink });
    assert.equal((await post(app, '[{"n":1}]', SECRET)).status, 200);
    assert.equal((await post(app, '[{"n":1}]', Buffer.from("another"))).status, 403);
    assert.equal((await post(app, "[{]", SECRET)).status, 400);
    await sink.close();
    assert.ok(readFileSync(join(directory, `kept in ${name}`)).includes('{"n":1}'));
  });
}

test("eventspool/outbox: event and row commit together, or not at all", () => {
  const db = new DatabaseSync(join(directory, "service.db"));
  db.exec("PRAGMA journal_mode = WAL; CREATE TABLE orders (id INTEGER PRIMARY KEY)");
  const outbox = new Outbox(db, serializeJsonEvent);
  const order = (id: number): void =>
    outbox.transaction(() => {
      outbox.put({ id });
      db.prepare("INSERT INTO orders VALUES (?)").run(id);
    });
  order(1);
  assert.throws(() => order(1), /UNIQUE/);
  assert.equal(outbox.depth(), 1);
  outbox.close();
  db.close();
});

test("eventspool/hono: a handler puts", async () => {
  const events = new TestEventQueue("main", serializeJsonEvent);
  const app = new Hono().use(eventQueues({ events })).post("/", (c) => {
    c.var.events.put({ n: 1 });
    return c.body(null, 204);
  });
  assert.equal((await app.request("/", { method: "POST" })).status, 204);
  assert.deepEqual(events.events, [{ n: 1 }]);
  events.close();
});

test("eventspool/thrift: serializes a struct", () => {
  assert.equal(Buffer.from(serializeV2Event(new Empty())).toString(), "{}");
});

/** As the compiler makes it: `write` is of the prototype. */
class Empty {
  write(output: ThriftOutput): void {
    output.writeStructBegin();
    output.writeFieldStop();
    output.writeStructEnd();
  }
}

interface ThriftOutput {
  writeStructBegin(): void;
  writeFieldStop(): void;
  writeStructEnd(): void;
}

test("every entry point is tried here", () => {
  const source = readFileSync(import.meta.filename, "utf8");
  const manifest = JSON.parse(readFileSync("node_modules/eventspool/package.json", "utf8")) as {
    exports: object;
  };
  for (const name of Object.keys(manifest.exports))
    assert.ok(source.includes(`from "${join("eventspool", name)}"`), name);
  assert.equal(typeof collectorAdmin, "function");
});

async function post(app: Hono, body: string, secret: Buffer): Promise<Response> {
  const mac = createHmac("sha256", secret).update(body).digest("hex");
  const headers = {
    "Content-Type": "application/json",
    "Content-Encoding": "gzip",
    "X-Signature": `key=host, mac=${mac}`,
  };
  return app.request("/v2j", { method: "POST", headers, body: gzipSync(body) });
}
