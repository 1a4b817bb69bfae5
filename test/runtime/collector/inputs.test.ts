import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import {
  CollectorStatus,
  collector,
  collectorAdmin,
  JsonlSink,
  loadCollectorConfig,
  NatsSink,
  openSink,
  Secret,
  SqliteSink,
  SubjectTemplate,
  schemaValidator,
} from "../../../src/collector/mod.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { FakeCollector, publish, TestEventQueue } from "../../../src/testing/mod.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

// biome-ignore lint/suspicious/noExplicitAny: the input of programs without types
type Any = any;

const KEYS = new Map([["main", Buffer.from("secret")]]);
const SINK = { store: async () => ({ stored: 0, duplicates: 0 }) };
const SUBJECT = new SubjectTemplate("events", "key");
const NATS = { kind: "nats", servers: ["localhost"], inboxPrefix: "_INBOX", timeoutMs: 1, subject: SUBJECT };

const collect = (options: Any): unknown => collector({ keys: KEYS, sink: SINK, ...options });
const withKey = (key: Any): unknown => collect({ keys: new Map([["main", key]]) });

type Wrong = readonly (readonly [work: () => unknown, message: RegExp])[];

async function assertRejected(wrong: Wrong): Promise<void> {
  for (const [work, message] of wrong)
    await assert.rejects(
      async () => await work(),
      (error) => {
        assert.ok(error instanceof ConfigurationError, `${work}: ${error}`);
        assert.match(error.message, message);
        return true;
      },
    );
}

test("the collector rejects wrong input with a typed error at the call", async () => {
  await assertRejected([
    [() => collector(undefined as Any), /^options: must be an object of options, got undefined/],
    [() => collect({ key: KEYS }), /^key: unknown option: did you mean keys\?$/],
    [() => collect({ keys: undefined }), /^keys: must be a Map of secrets or a function, got undefined/],
    [() => collect({ keys: { main: "secret" } }), /^keys: must be a Map .*, got an object \(Object\)/],
    [() => collect({ sink: undefined }), /^sink: must be a sink, with a method store, got undefined/],
    [() => collect({ sink: {} }), /^sink: must be a sink/],
    [() => collect({ status: {} }), /^status: must be a CollectorStatus/],
    [() => collect({ maxEvents: "5" }), /^maxEvents: must be an integer from 1 to \d+, got "5"/],
    [() => collect({ maxRequest: 5 }), /^maxRequest: unknown option: did you mean maxRequests\?$/],
    [() => collect({ v1: "true" }), /^v1: must be true or false, got "true"/],
    [() => collect({ validate: {} }), /^validate: must be a function/],
    [() => withKey("hunter2"), /^keys\.main: must be a Uint8Array of at least one byte(?!.*hunter2)/],
    [() => withKey(Buffer.of()), /^keys\.main: must be a Uint8Array of at least one byte/],
    [() => withKey({ secret: "hunter2" }), /^keys\.main: must be a Uint8Array(?!.*hunter2)/],
    [() => withKey({ secret: Buffer.from("s"), requireId: true }), /^keys\.main\.requireId: .*requireIds/],
    [() => withKey({ secret: Buffer.from("s"), source: 5 }), /^keys\.main\.source: must be a string/],
    [() => collectorAdmin({} as Any), /^status: must be a CollectorStatus, got an object/],
    [() => collectorAdmin(new CollectorStatus(), { tokens: "a" } as Any), /did you mean token/],
    [() => schemaValidator({} as Any), /schema/],
  ]);
});

test("sinks and their configuration reject wrong input with a typed error, and create no file", async () => {
  using directory = temporaryDirectory();
  const jsonl = (options: Any): unknown => new JsonlSink(`${directory.path}/a`, options);
  const sqlite = (options: Any): unknown => new SqliteSink(`${directory.path}/b`, options);
  const nats = (options: Any): unknown => new NatsSink({ ...NATS, ...options });
  await assertRejected([
    [() => new (JsonlSink as Any)(), /^path: must be a string, got undefined/],
    [() => jsonl({ fsync: "allways" }), /^fsync: must be always, interval or never, got "allways"/],
    [() => jsonl({ rotateSize: 5 }), /^rotateSize: unknown option: did you mean rotateSizeBytes\?$/],
    [() => jsonl({ fileMode: 0o477 }), /^fileMode: must be a file mode from 0o600 to 0o777, got 319/],
    [() => jsonl({ fileMode: "0600" }), /^fileMode: must be a file mode/],
    [() => new (SqliteSink as Any)(5), /^path: must be a string, got 5/],
    [() => sqlite({ sync: "never" }), /^sync: unknown option: did you mean fsync\?$/],
    [() => sqlite({ fileMode: 0o400 }), /^fileMode: must be a file mode/],
    [() => nats({ server: "localhost" }), /^server: unknown option: did you mean servers\?$/],
    [() => nats({ servers: "localhost" }), /^servers: must be an array of servers/],
    [() => nats({ servers: [] }), /^servers: must be an array of servers/],
    [() => nats({ subject: "events" }), /^subject: must be a SubjectTemplate, got "events"/],
    [() => nats({ timeoutMs: undefined }), /^timeoutMs: must be an integer/],
    [() => openSink({ kind: "kafka" } as Any), /^kind: must be file, sqlite, nats or postgres/],
    [() => openSink({ kind: "sqlite" } as Any), /^path: must be a string/],
    [() => new SubjectTemplate(5 as Any, "key"), /^text: must be a string/],
    [() => new SubjectTemplate("a b", "key"), /expected a subject such as events\.\{key\}/],
    [() => new Secret("hunter2" as Any), /^bytes: must be a Uint8Array$/],
    [() => loadCollectorConfig(5 as Any), /^path: must be a string, got 5/],
    [() => loadCollectorConfig("c.ini", { environment: {} } as Any), /^environment: unknown option/],
  ]);
  assert.deepEqual(readdirSync(directory.path), []);
});

test("the helpers for tests reject wrong input with a typed error at the call", async () => {
  await using fake = await FakeCollector.open();
  using queue = new TestEventQueue("main", serializeJsonEvent);
  const settings = (values: Any): unknown => publish(queue, fake, values);
  await assertRejected([
    [() => FakeCollector.open({ ports: 5 } as Any), /^ports: unknown option: did you mean port\?$/],
    [() => FakeCollector.open({ port: 70_000 }), /^port: must be an integer from 0 to 65535, got 70000/],
    [() => FakeCollector.open({ key: { name: "k" } } as Any), /^key: must be an object \{ name, secret \}/],
    [() => fake.waitFor("1" as Any), /^count: must be an integer/],
    [() => fake.waitFor(1, { timeout: 5 } as Any), /^timeout: unknown option: did you mean timeoutMs\?$/],
    [
      () => settings({ "publisher.concurency": "1" }),
      /publisher\.concurency: unknown key.*publisher\.concurrency/,
    ],
    [() => settings({ "publisher.concurrency": "0" }), /publisher\.concurrency: expected an integer from 1/],
    [() => queue.failWith("full" as Any), /^error: must be an Error or undefined/],
    [() => queue.failWith(new Error(), { time: 1 } as Any), /^time: unknown option: did you mean times\?$/],
    [() => new TestEventQueue("main", serializeJsonEvent, { maxEvent: 1 } as Any), /did you mean maxEvents/],
    [() => new (TestEventQueue as Any)("main"), /^serializer: is missing/],
  ]);
});

test("keys that a function returns are checked with each request, and a wrong one gets a 500", async () => {
  const app = collector({ keys: (() => new Map([["main", "secret"]])) as Any, sink: SINK });
  const headers = { "X-Signature": `key=main, mac=${"0".repeat(64)}` };
  const response = await app.request("/v2j", { method: "POST", body: "[1]", headers });
  assert.equal(response.status, 500);
  assert.deepEqual(await response.json(), { error: "The collector failed to load its keys. Send it again." });
});
