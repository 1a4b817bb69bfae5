import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EventSerializationError } from "../../../src/errors.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";

function textOf(event: unknown): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(serializeJsonEvent(event));
}

/** Asserts that the event is rejected for that field, in these words. */
function assertRejected(event: unknown, field: string, problem: RegExp): void {
  assert.throws(
    () => serializeJsonEvent(event),
    (error) =>
      error instanceof EventSerializationError && error.field === field && problem.test(error.message),
  );
}

test("writes an event as UTF-8 JSON", () => {
  assert.equal(
    textOf({ source: "web", noun: "café 😀", tags: [1, true, null] }),
    '{"source":"web","noun":"café 😀","tags":[1,true,null]}',
  );
});

test("gives back every JSON value that goes in", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (event) =>
      assert.deepEqual(JSON.parse(textOf(event)), JSON.parse(JSON.stringify(event))),
    ),
  );
});

test("leaves out members that are undefined, functions or symbols", () => {
  assert.equal(textOf({ a: undefined, b() {}, c: Symbol("c"), d: null }), '{"d":null}');
});

test("writes what toJSON gives", () => {
  assert.equal(
    textOf({ at: new Date(0), none: { toJSON: () => null } }),
    '{"at":"1970-01-01T00:00:00.000Z","none":null}',
  );
});

test("rejects an event that is no JSON value", () => {
  assertRejected(undefined, "", /^Event is undefined, which JSON does not have$/);
  assertRejected(() => 1, "", /^Event is a function, which/);
  assertRejected({ toJSON: () => undefined }, "", /^Event is undefined, which/);
});

test("rejects NaN and Infinity, which JSON.stringify turns into null", () => {
  assertRejected({ geo: { lat: Number.NaN } }, "geo.lat", /^Event field geo.lat is NaN, which/);
  assertRejected([[0, -Infinity]], "[0][1]", / is -Infinity, which/);
});

test("rejects undefined and functions in arrays, which JSON.stringify turns into null", () => {
  assertRejected({ tags: ["a", undefined] }, "tags[1]", / is undefined, which/);
  assertRejected({ tags: [() => 1] }, "tags[0]", / is a function, which/);
});

test("rejects a BigInt and names it", () => {
  assertRejected({ user: { "created at": 12n } }, 'user["created at"]', / is 12n, which/);
});

test("rejects a cycle and names where it closes", () => {
  const user: Record<string, unknown> = { id: "t2_1" };
  user.friends = [{ best: user }];
  assertRejected({ user }, "user.friends[0].best", / contains itself/);
});

test("takes the same object twice", () => {
  const user = { id: null };
  assert.equal(textOf({ from: user, to: user }), '{"from":{"id":null},"to":{"id":null}}');
});

test("rejects a toJSON or a getter that throws, and keeps the cause", () => {
  const cause = new Error("no session");
  const fails = (): never => {
    throw cause;
  };
  for (const user of [{ toJSON: fails }, Object.defineProperty({}, "toJSON", { get: fails })]) {
    assert.throws(
      () => serializeJsonEvent({ user }),
      (error) => error instanceof EventSerializationError && error.field === "user" && error.cause === cause,
    );
  }
});

test("rejects a cycle that closes deeper than it is looked for, without the field", () => {
  const event: unknown[] = [];
  let inner = event;
  for (let depth = 0; depth < 2_000; depth++) {
    const next: unknown[] = [];
    inner.push(next);
    inner = next;
  }
  inner.push(event);
  assertRejected(event, "", /^Event cannot be written as JSON: /);
});
