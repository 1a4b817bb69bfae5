/** Whatever a public function is given, it does what it says, or throws an EventError: never another error. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { Event } from "../../../examples/thrift/gen-nodejs/event_types.cjs";
import { EventError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { eventQueues } from "../../../src/queue/hono.ts";
import { Outbox } from "../../../src/queue/outbox.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { withSchema } from "../../../src/serializers/standard_schema.ts";
import { serializeV2Event, v2SerializerOf } from "../../../src/serializers/thrift.ts";
import { TestEventQueue } from "../../../src/testing/test_event_queue.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

// biome-ignore lint/suspicious/noExplicitAny: of any type is the point
type Any = any;

function revoked(target: object): Any {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

/** A Proxy of which each trap throws. */
function throwing(target: object): Any {
  const fail = (): never => {
    throw revoked({}); // not even `instanceof` may look at it
  };
  return new Proxy(target, new Proxy({}, { get: () => fail }));
}

/** An array that says it is longer. */
function lying(length: unknown): Any {
  return new Proxy([], { get: (_, key) => (key === "length" ? length : 1), has: () => true });
}

const deep = Array.from({ length: 10_000 }).reduce((inner) => [inner], 0);
const cyclic: Any = {};
cyclic.self = cyclic;

/** Put looks whether an event is a promise. */
const THEN = "then";

/** Values by what they are; functions, since some are used up. */
const VALUES: Readonly<Record<string, () => unknown>> = {
  nothing: () => undefined,
  null: () => null,
  "a boolean": () => true,
  "not a number": () => Number.NaN,
  "minus zero": () => -0,
  infinity: () => Infinity,
  "a BigInt": () => 5n,
  "a symbol": () => Symbol("secret"),
  "a function": () => () => 1,
  "a class": () => class {},
  "a string": () => "text",
  "half a character": () => "\ud800",
  "a NUL": () => "\0",
  "a long string": () => "x".repeat(10_000),
  "a revoked object": () => revoked({}),
  "a revoked array": () => revoked([]),
  "a revoked function": () => revoked(() => {}),
  "an object that throws": () => throwing({}),
  "an array that throws": () => throwing([]),
  "a function that throws": () => throwing(() => {}),
  "members that throw": () => ({
    get a() {
      throw revoked({});
    },
    get [THEN]() {
      throw undefined;
    },
    toJSON: throwing(() => {}),
    write: throwing(() => {}),
  }),
  "a toJSON that is gone when it is called": () => ({ toJSON: revoked(() => {}) }),
  "a toJSON of a revoked object": () => ({ toJSON: () => revoked({}) }),
  "a Map": () => new Map([["a", 1]]),
  "a Set": () => new Set([1]),
  "a WeakMap": () => new WeakMap(),
  "an invalid date": () => new Date(Number.NaN),
  "an Error": () => new Error("an error"),
  "a RegExp": () => /secret/,
  bytes: () => new Uint8Array(3),
  "an ArrayBuffer": () => new ArrayBuffer(3),
  "a DataView": () => new DataView(new ArrayBuffer(3)),
  doubles: () => new Float64Array(2),
  "a promise": () => Promise.resolve(1),
  "an async iterable": async function* () {},
  "a generator": function* () {
    yield 1;
  },
  "an iterator": () => [1].values(),
  "an iterable that throws": () => ({
    *[Symbol.iterator]() {
      yield 1;
      throw revoked({});
    },
  }),
  "an iterable that is none": () => ({ [Symbol.iterator]: () => 5 }),
  "no prototype": () => Object.create(null),
  "a member named __proto__": () => JSON.parse('{"__proto__":{"a":1}}'),
  "a hole": () => new Array(2),
  "a boxed BigInt": () => Object(5n),
  "a boxed symbol": () => Object(Symbol("secret")),
  "no box": () => Object.create({ [Symbol.toStringTag]: "Number" }),
  "an array that says it is longer": () => lying(5),
  "an array of a negative length": () => lying(-1),
  "an array of no length": () => lying("long"),
  "a deep array": () => deep,
  "a cycle": () => cyclic,
  "a writer that writes nothing": () => ({ write: () => {} }),
};

const FIELDS = { source: "web", action: "view", noun: "page", client_timestamp: 0, uuid: "u" };
const OPTIONS = [
  "directory",
  "maxEvents",
  "maxEventBytes",
  "durability",
  "driver",
  "fileMode",
  "busyTimeoutMs",
].concat(["allowNetworkFileSystem", "openTelemetry", "onRejected", "schema", "unknown"]);

const v2 = v2SerializerOf(Event) as Any;
const checked = withSchema(z.looseObject({ a: z.any() }), serializeJsonEvent) as Any;
const strict = withSchema(z.object({ a: z.string() }), serializeJsonEvent) as Any;
const withResult = (result: unknown): Any => ({
  "~standard": { version: 1, vendor: "tests", validate: () => result },
});

/** What is given a value, by its name. Queues are opened in `directory`, or by `queueOf`. */
function entries(
  directory: string,
  queueOf: (serialize: Any) => TestEventQueue<Any>,
): Record<string, (value: Any) => unknown> {
  const [json, thrift, own, schema] = [
    serializeJsonEvent,
    serializeV2Event,
    (event: Any) => event,
    checked,
  ].map(queueOf);
  const open = (...args: Any[]): void => new (EventQueue as Any)(...args).close();
  const throwsIt = (value: unknown) => (): never => {
    throw value;
  };
  const outbox = (...args: Any[]): void => new (Outbox as Any)(...args).close();
  return {
    json: serializeJsonEvent,
    "json, in an object": (a) => serializeJsonEvent({ a }),
    "json, in an array": (a) => serializeJsonEvent([a]),
    thrift: serializeV2Event,
    "thrift, of fields": v2,
    ...Object.fromEntries(
      ["source", "user", "tags", "labels", "client_timestamp"].flatMap((name) => [
        [`thrift, ${name} of fields`, (value: Any) => v2({ ...FIELDS, [name]: value })],
        [
          `thrift, ${name}`,
          (value: Any) => serializeV2Event(Object.assign(new Event(FIELDS), { [name]: value })),
        ],
      ]),
    ),
    "schema, event": strict,
    "schema, member": (a) => strict({ a }),
    "schema, member that passes": (a) => checked({ a }),
    "schema itself": (value) => withSchema(value, serializeJsonEvent),
    "schema that returns it": (value) => withSchema(withResult(value), serializeJsonEvent)({}),
    "schema of such issues": (value) => withSchema(withResult({ issues: value }), serializeJsonEvent)({}),
    "schema of such an issue": (value) => withSchema(withResult({ issues: [value] }), serializeJsonEvent)({}),
    "schema with an issue about it": (a) =>
      withSchema(withResult({ issues: [{ message: "no", path: ["a"] }] }), serializeJsonEvent)({ a }),
    put: (value) => json!.put(value),
    putMany: (value) => json!.putMany(value),
    "putMany of one": (value) => json!.putMany([value]),
    "put, thrift": (value) => thrift!.put(value),
    "put, own serializer": (value) => own!.put(value),
    "put, schema": (value) => schema!.put(value),
    "put, serializer that throws it": (value) => queueOf(throwsIt(value)).put({}),
    "EventQueue, name": (value) => open(value, serializeJsonEvent, { directory }),
    "EventQueue, serializer": (value) => open("main", value, { directory }),
    "EventQueue, options": (value) => open("main", serializeJsonEvent, value ?? { directory }),
    ...Object.fromEntries(
      OPTIONS.map((name) => [
        `EventQueue, ${name}`,
        (value: Any) => open("main", serializeJsonEvent, { directory, [name]: value ?? directory }),
      ]),
    ),
    "Outbox, connection": (value) => outbox(value, serializeJsonEvent),
    "Outbox, serializer": (value) => outbox({}, value),
    "Outbox, options": (value) => outbox({}, serializeJsonEvent, value),
    "TestEventQueue, options": (value) => new TestEventQueue("main", serializeJsonEvent, value).close(),
    eventQueues,
    "eventQueues, queue": (value) => eventQueues({ events: value }),
    "EventError.is": (value) => EventError.is(value),
  };
}

test("whatever a public function is given, it takes it or throws an EventError", () => {
  using directory = temporaryDirectory();
  using queues = new DisposableStack();
  const queueOf = (serialize: Any) => queues.use(new TestEventQueue<Any>("main", serialize));
  for (const [entry, call] of Object.entries(entries(directory.path, queueOf)))
    for (const [name, make] of Object.entries(VALUES))
      try {
        call(make());
      } catch (error) {
        assert.ok(EventError.is(error), `${entry} of ${name} threw another error`);
        assert.doesNotMatch(error.message, /secret/, `${entry} of ${name}`);
      }
});
