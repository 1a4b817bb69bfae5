import assert from "node:assert/strict";
import { test } from "node:test";
import { Event } from "../../../examples/thrift/gen-nodejs/event_types.cjs";
import { admin } from "../../../src/admin/app.ts";
import { collectorAdmin } from "../../../src/collector/admin.ts";
import { collector } from "../../../src/collector/app.ts";
import { JsonlSink } from "../../../src/collector/sinks/jsonl.ts";
import { SqliteSink } from "../../../src/collector/sinks/sqlite.ts";
import { ConfigurationError, EventQueueClosedError, EventSerializationError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { eventQueues } from "../../../src/queue/hono.ts";
import { Outbox } from "../../../src/queue/outbox.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { serializeV2Event } from "../../../src/serializers/thrift.ts";
import { EventTable } from "../../../src/storage/events.ts";
import { queueFilePath } from "../../../src/storage/locations.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { FakeCollector } from "../../../src/testing/fake_collector.ts";
import { TestEventQueue } from "../../../src/testing/test_event_queue.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** Calls with any arguments, as JavaScript can. */
// biome-ignore lint/suspicious/noExplicitAny: of any type is the point
type Any = any;

const EVENT = new Event({ source: "web", action: "view", noun: "page", client_timestamp: 0, uuid: "u" });

const bytesOf = (event: unknown): Uint8Array => Buffer.from(String(event));

function revokedProxy(): Any {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

function versioned(batchVersion: string): Any {
  return Object.assign((event: unknown) => bytesOf(event), { batchVersion });
}

function assertRejected(work: () => unknown, problem: RegExp): void {
  assert.throws(work, (error) => {
    assert.ok(error instanceof EventSerializationError, String(error));
    assert.match(error.message, problem);
    return true;
  });
}

/** What putMany is not given, and what it says. */
const NO_LISTS: readonly (readonly [value: () => unknown, problem: RegExp])[] = [
  [() => undefined, / list is undefined, .* use put$/],
  [() => null, / list is null, /],
  [() => 5, / list is 5, /],
  [() => "secret", / list is a string, (?!.*secret)/],
  [() => Object("secret"), / list is an object \(String\), (?!.*secret)/],
  [() => ({ a: 1 }), / list is an object \(Object\), .* use put$/],
  [() => ({ length: 1, 0: {} }), / list is an object \(Object\), /],
  [() => new Map([["a", {}]]), / list is an object \(Map\), .* pass its values\(\)$/],
  [() => new URLSearchParams("a=b"), /URLSearchParams.* pass its values\(\)$/],
  [() => Buffer.from("ab"), / its elements are no events$/],
  [() => Promise.reject(new Error("nobody waits")), / list is an object \(Promise\), .* await it first$/],
  [async function* () {}, / gather its events with for await first$/],
  [() => () => [], / list is a function, /],
];

test("putMany rejects what is no list of events, whatever the serializer, and counts it", () => {
  for (const serializer of [serializeJsonEvent, bytesOf])
    for (const [value, problem] of NO_LISTS) {
      using queue = new TestEventQueue<Any>("main", serializer);
      assertRejected(() => queue.putMany(value() as Any), problem);
      assert.equal(queue.depth(), 0);
    }
});

test("putMany takes arrays, Sets, generators and other iterables of events", () => {
  using queue = new TestEventQueue<Any>("main", serializeJsonEvent);
  queue.putMany([1]);
  queue.putMany(new Set([2]));
  queue.putMany(new Map([["a", 3]]).values());
  queue.putMany(
    (function* () {
      yield 4;
    })(),
  );
  queue.putMany({ [Symbol.iterator]: () => [5].values() });
  queue.putMany([]);
  assert.deepEqual(queue.events, [1, 2, 3, 4, 5]);
});

test("a promise is no event: await it", async () => {
  for (const serializer of [serializeJsonEvent, serializeV2Event, bytesOf]) {
    using queue = new TestEventQueue<Any>("main", serializer as Any);
    const failing = (): Promise<never> => Promise.reject(new Error("nobody waits"));
    assertRejected(() => queue.put(failing()), /^Event is a promise: await it/);
    assertRejected(() => queue.putMany([failing()]), /^Event is a promise: await it/);
    // biome-ignore lint/suspicious/noThenProperty: like a promise
    assertRejected(() => queue.put({ then: () => {} }), /^Event is a promise: await it/);
    await assert.rejects(queue.putAsync(failing()), EventSerializationError);
    assert.equal(queue.depth(), 0);
  }
});

test("put without an event, and a serializer that is async, are errors", () => {
  using queue = new TestEventQueue<Any>("main", serializeJsonEvent);
  assertRejected(() => (queue.put as Any)(), /^Event is undefined/);
  using other = new TestEventQueue<Any>("main", (async () => {
    throw new Error("nobody waits");
  }) as Any);
  assertRejected(() => other.put({}), /must return a Uint8Array, and returned an object \(Promise\)/);
});

test("puts after close are errors, and a list is not even looked at", () => {
  const queue = new TestEventQueue<Any>("main", serializeJsonEvent);
  queue.close();
  assert.throws(() => queue.put({}), EventQueueClosedError);
  assert.throws(() => queue.putMany({ a: 1 } as Any), EventQueueClosedError);
});

test("options that do not exist and values of another kind are rejected where they are given", async () => {
  using directory = temporaryDirectory();
  const queue = (options: Any, serializer: Any = serializeJsonEvent): unknown =>
    new EventQueue("main", serializer, options);
  const keys = new Map([["main", Buffer.from("secret")]]);
  const sink = { store: async () => ({}) };
  const wrong: readonly (readonly [work: () => unknown, message: RegExp])[] = [
    [() => queue({ maxEvent: 5 }), /^maxEvent: unknown option: did you mean maxEvents\?$/],
    [() => queue({ colour: 5 }), /^colour: unknown option: the options are directory, maxEvents, /],
    [() => queue(null), /^options: must be an object of options, got null/],
    [() => queue([5]), /^options: must be an object of options, got an object \(Array\)/],
    [
      () => queue(new Map([["maxEvents", 5]])),
      /^options: must be an object of options, got an object \(Map\)/,
    ],
    [() => queue(Promise.resolve({})), /^options: must be an object of options, got an object \(Promise\)/],
    [() => queue(revokedProxy()), /^options: cannot be read: TypeError was thrown/],
    [
      () => queue({ driver: "sqlite3" }),
      /^driver: must be better-sqlite3, bun:sqlite or node:sqlite, got "sqlite3"/,
    ],
    [() => queue(undefined, versioned("3")), /^serializer.batchVersion: must be 2 or 2j, got "3"/],
    [() => queue("/tmp"), /^options: must be an object of options, got "\/tmp"/],
    [() => queue({ directory: 5 }), /^directory: must be a string, got 5/],
    [() => queue({ maxEvents: "5" }), /^maxEvents: must be an integer from 1 to .*, got "5"/],
    [() => queue({ durability: "disk" }), /^durability: must be process or power, got "disk"/],
    [() => queue({ openTelemetry: {} }), /^openTelemetry: must be the package/],
    [() => queue({ schema: 5 }), /^schema: must be an object, got 5/],
    [() => queue(undefined, { maxEvents: 5 }), /^serializer: must be a function .* the options follow it/],
    [() => queue(undefined, null), /^serializer: is missing: /],
    [() => new EventQueue(5 as Any, serializeJsonEvent), /^name: must be a string, got 5/],
    [() => new (EventQueue as Any)("main"), /^serializer: is missing: /],
    [() => new (Outbox as Any)({}), /^serializer: is missing: /],
    [() => new Outbox({} as Any, serializeJsonEvent, { maxEvent: 1 } as Any), /did you mean maxEvents/],
    [() => new Outbox({} as Any, serializeJsonEvent, { allowMemory: 1 } as Any), /must be true or false/],
    [() => new TestEventQueue("main", serializeJsonEvent, { maxEvent: 1 } as Any), /did you mean maxEvents/],
    [
      () => new TestEventQueue("main", serializeJsonEvent, { directory: "/tmp" } as Any),
      /^directory: unknown option: the options are maxEvents, /,
    ],
    [() => new TestEventQueue("main", serializeJsonEvent, new Map() as Any), /got an object \(Map\)/],
    [() => collector({ key: keys, sink } as Any), /^key: unknown option: did you mean keys\?/],
    [() => collector({ sink } as Any), /^keys: must be a Map of secrets or a function, got undefined/],
    [() => collector({ keys } as Any), /^sink: must be a sink, with a method store/],
    [() => collector({ keys, sink, maxEvents: "5" } as Any), /^maxEvents: must be an integer/],
    [() => collectorAdmin({} as Any, { tokens: "a" } as Any), /did you mean token/],
    [() => admin({} as Any, { token: 5 } as Any), /^token: must be a string/],
    [
      () => new JsonlSink(`${directory.path}/a`, { fsync: "allways" } as Any),
      /^fsync: must be always, interval or never/,
    ],
    [() => new SqliteSink(`${directory.path}/b`, { sync: "never" } as Any), /did you mean fsync/],
    [() => eventQueues({ events: undefined } as Any), /^events: must be an EventQueue, got undefined/],
    [() => eventQueues(5 as Any), /^queues: must be an object, got 5/],
  ];
  for (const [work, message] of wrong)
    assert.throws(work, (error) => {
      assert.ok(error instanceof ConfigurationError, String(error));
      assert.match(error.message, message);
      return true;
    });
  await assert.rejects(FakeCollector.open({ ports: 5 } as Any), ConfigurationError);
});

test("uses the options that it has checked, each read once", () => {
  const reads: string[] = [];
  const values: Any = { maxEvents: 5, maxEventBytes: 7 };
  const options = Object.create(null, {
    maxEvents: { enumerable: true, get: () => (reads.push("maxEvents") === 1 ? 1 : "many") },
  });
  using queue = new TestEventQueue<Any>("main", serializeJsonEvent, options);
  queue.put({});
  assert.throws(() => queue.put({}), { code: "QUEUE_FULL", limit: 1 });
  assert.deepEqual(reads, ["maxEvents"]);
  using inheriting = new TestEventQueue<Any>("main", serializeJsonEvent, Object.create(values));
  assert.throws(() => inheriting.put("too long"), { code: "EVENT_TOO_LARGE", limit: 7 });
});

test("a queue rejects a serializer for another version than its events have, until they are published", () => {
  using directory = temporaryDirectory();
  const open = (serializer: Any): EventQueue<Any> =>
    new EventQueue<Any>("main", serializer, { directory: directory.path });
  using thrift = open(serializeV2Event);
  using json = open(serializeJsonEvent);
  using other = open(bytesOf); // it does not say
  other.put("{}");
  thrift.put(EVENT);
  const problem = /^ConfigurationError: serializer: writes events of version 2j, .* of version 2:/;
  assert.throws(() => json.put({}), problem);
  assert.throws(() => open(serializeJsonEvent), problem);
});

test("to open an empty queue with another serializer, only to look, does not change its version", () => {
  using directory = temporaryDirectory();
  const versionOf = (): string | undefined => {
    const file = QueueFile.openReadOnly(queueFilePath("main", directory.path));
    try {
      return new EventTable(file).batchVersion();
    } finally {
      file.close();
    }
  };
  const open = (serializer: Any): EventQueue<Any> =>
    new EventQueue<Any>("main", serializer, { directory: directory.path });
  open(serializeJsonEvent).close();
  assert.equal(versionOf(), "2j", "a new queue has the version of its first serializer");
  using looking = open(serializeV2Event);
  assert.equal(looking.depth(), 0);
  assert.throws(() => looking.put({}), EventSerializationError);
  assert.equal(versionOf(), "2j");
  looking.put(EVENT);
  assert.equal(versionOf(), "2");
});

test("rejects an event whose members cannot even be looked at", () => {
  using directory = temporaryDirectory();
  using queue: Any = new EventQueue("main", serializeJsonEvent, { directory: directory.path });
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  // biome-ignore lint/suspicious/noThenProperty: put looks whether an event is a promise
  const hostile = Object.defineProperty({}, "then", {
    enumerable: true,
    get: () => {
      throw new Error("secret");
    },
  });
  for (const event of [proxy, hostile, { field: proxy }]) {
    assertRejected(() => queue.put(event), /cannot be read: (?!.*secret)/);
    assertRejected(() => queue.putMany([event]), /cannot be read: /);
  }
  assert.equal(queue.depth(), 0);
});
