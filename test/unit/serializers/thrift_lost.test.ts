import assert from "node:assert/strict";
import { test } from "node:test";
import { Event } from "../../../examples/thrift/gen-nodejs/event_types.cjs";
import { EventSerializationError } from "../../../src/errors.ts";
import { serializeV2Event, v2SerializerOf } from "../../../src/serializers/thrift.ts";

const REQUIRED = { source: "web", action: "view", noun: "page", client_timestamp: 0, uuid: "u" };
const fieldsOf = v2SerializerOf(Event) as (fields: object) => Uint8Array;

/** Fields of another shape than their types, with what the error says: generated code drops or converts each. */
const LOST: readonly (readonly [path: string, fields: object, problem: RegExp])[] = [
  ["tags", { tags: "abc" }, / is a string: list and set take an array/],
  ["tags", { tags: "" }, / is a string: list and set take an array/],
  ["tags", { tags: new Set(["a"]) }, / is an object \(Set\): list and set take an array/],
  ["tags", { tags: { length: 1, 0: "a" } }, / list and set take an array/],
  ["labels", { labels: new Map([["a", "b"]]) }, / is an object \(Map\): map takes a plain object/],
  ["labels", { labels: ["a"] }, / is an object \(Array\): map takes a plain object/],
  ["labels", { labels: "abc" }, / is a string: map takes a plain object/],
  ["sorce", { sorce: "web" }, / is no field of its struct/],
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
    / is no field of its struct: did you mean lat\?$/,
  );
  assertRejected(
    () => fieldsOf({ ...REQUIRED, tags: Object.assign(["a"], { b: "c" }) }),
    "tags[b]",
    / no field/,
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
  assertRejected(() => serializeV2Event(event), "user.loggedIn", / is no field/);
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
