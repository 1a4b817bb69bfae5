import assert from "node:assert/strict";
import { test } from "node:test";
import { Event } from "../../../examples/thrift/gen-nodejs/event_types.cjs";
import { EventSerializationError } from "../../../src/errors.ts";
import { serializeV2Event, v2SerializerOf } from "../../../src/serializers/thrift.ts";

const REQUIRED = { source: "web", action: "view", noun: "page", client_timestamp: 0, uuid: "u" };
const fieldsOf = v2SerializerOf(Event) as (fields: object) => Uint8Array;

class Labels {
  a = "b";
  get c(): string {
    return "d";
  }
}

/** Fields of another shape than their types, with what the error says: generated code drops or converts each. */
const LOST: readonly (readonly [path: string, fields: object, problem: RegExp])[] = [
  ["tags", { tags: "abc" }, / is a string: list and set take an array/],
  ["tags", { tags: "" }, / is a string: list and set take an array/],
  ["tags", { tags: new Set(["a"]) }, / is an object \(Set\): list and set take an array/],
  ["tags", { tags: { length: 1, 0: "a" } }, / list and set take an array/],
  ["labels", { labels: new Map([["a", "b"]]) }, / is an object \(Map\): map takes a plain object/],
  ["labels", { labels: ["a"] }, / is an object \(Array\): map takes a plain object/],
  ["labels", { labels: "abc" }, / is a string: map takes a plain object/],
  ["labels", { labels: new Labels() }, / is an object \(Labels\): map takes a plain object/],
  ["labels", { labels: { a: "b", [Symbol("c")]: "d" } }, / has a member named by a symbol/],
  ["", { [Symbol("secret")]: "web" }, /^Event has a member named by a symbol, which would be left out$/],
  ["sorce", { sorce: "web" }, / is not a field of its struct/],
];

function assertRejected(serialize: () => Uint8Array, field: string, problem: RegExp): void {
  assert.throws(serialize, (error) => {
    assert.ok(error instanceof EventSerializationError, String(error));
    assert.equal(error.field, field, error.message);
    assert.match(error.message, problem);
    return true;
  });
}

test("rejects plain fields that the generated class would drop or convert", () => {
  for (const [path, fields, problem] of LOST)
    assertRejected(() => fieldsOf({ ...REQUIRED, ...fields }), path, problem);
  for (const user of ["abc", new Map(), [], new Date(0), 5, () => 1])
    assertRejected(() => fieldsOf({ ...REQUIRED, user }), "user", / a struct takes a plain object$/);
  assertRejected(() => fieldsOf({ ...REQUIRED, user: { flags: new Set() } }), "user.flags", / take an array/);
  assertRejected(
    () => fieldsOf({ ...REQUIRED, geo: { lon: 1, latt: 5 } }),
    "geo.latt",
    / is not a field of its struct: did you mean lat\?$/,
  );
  assertRejected(
    () => fieldsOf({ ...REQUIRED, tags: Object.assign(["a"], { b: "c" }) }),
    "tags[b]",
    / not a field/,
  );
  const labels = JSON.parse('{"__proto__":{"a":1}}');
  assert.throws(() => fieldsOf({ ...REQUIRED, labels }), EventSerializationError); // Deno has no setter of that name
});

test("rejects what was set on an instance and its class would drop or convert", () => {
  for (const [path, fields, problem] of LOST) {
    const event = Object.assign(new Event(REQUIRED), fields);
    assertRejected(() => serializeV2Event(event), path, problem);
  }
  const event = new Event({ ...REQUIRED, user: { id: "a" } });
  Object.assign(event.user!, { flags: new Set(["a"]) });
  assertRejected(() => serializeV2Event(event), "user.flags", / is an object \(Set\)/);
  Object.assign(event.user!, { flags: null, loggedIn: true });
  assertRejected(() => serializeV2Event(event), "user.loggedIn", / is not a field/);
});

/** Objects for 64-bit integers of other libraries than node-int64: `int64-buffer`, `long`, `bn.js`. */
const OTHER_INT64: readonly object[] = [
  { buffer: Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]), offset: 0, _isInt64LE: true },
  { buffer: Buffer.alloc(8, 0xff), offset: 0, _isUint64BE: true },
  { low: 1, high: 0, unsigned: false },
  { negative: 0, words: [1], length: 1 },
  new Uint8Array(8),
  Object(1n),
  new Date(0),
];

test("rejects an integer object of which it cannot know the order of bytes or the sign", () => {
  for (const client_timestamp of OTHER_INT64)
    assertRejected(
      () => fieldsOf({ ...REQUIRED, client_timestamp }),
      "client_timestamp",
      / i64 takes integers/,
    );
});

test("an event with hostile members is rejected with the field, whichever way it is put", () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const throwing = Object.defineProperty({}, "a", {
    enumerable: true,
    get: () => {
      throw proxy; // not even instanceof may look at it
    },
  });
  for (const value of [proxy, throwing, () => 1, Symbol("a"), 1n, Object("a"), Promise.resolve("a")])
    for (const field of ["source", "user", "tags", "labels"]) {
      assert.throws(() => fieldsOf({ ...REQUIRED, [field]: value }), EventSerializationError);
      const event = Object.assign(new Event(REQUIRED), { [field]: value });
      assert.throws(() => serializeV2Event(event), EventSerializationError);
    }
  for (const event of [proxy, throwing, undefined, null, 5, "write", { write: 5 }, { write: () => {} }]) {
    assert.throws(() => serializeV2Event(event as never), EventSerializationError);
    assert.throws(() => fieldsOf(event as never), EventSerializationError);
  }
});

test("takes null and undefined for fields that are unset, of any name", () => {
  const expected = fieldsOf(REQUIRED);
  assert.deepEqual(fieldsOf({ ...REQUIRED, user: null, tags: undefined, other: undefined }), expected);
  assert.deepEqual(serializeV2Event(Object.assign(new Event(REQUIRED), { other: null })), expected);
});

test("writes the same bytes after an event that was rejected", () => {
  const whole = { ...REQUIRED, user: { flags: ["a"] }, labels: { a: "b", c: "d" }, tags: ["e"] };
  const expected = fieldsOf(whole);
  for (const [, fields] of LOST) assert.throws(() => fieldsOf({ ...whole, ...fields }));
  assert.deepEqual(fieldsOf(whole), expected);
});
