import assert from "node:assert/strict";
import { test } from "node:test";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { type } from "arktype";
import * as v from "valibot";
import * as z from "zod";
import { ConfigurationError, EventInvalidError, type EventIssue } from "../../../src/errors.ts";
import { MAX_EVENT_ISSUES, withSchema } from "../../../src/serializers/standard_schema.ts";
import fc from "../../support/fast_check.ts";

/** A schema that rejects everything with these issues. */
function rejecting(...issues: StandardSchemaV1.Issue[]): StandardSchemaV1 {
  return standard(() => ({ issues }));
}

function standard(validate: StandardSchemaV1.Props["validate"]): StandardSchemaV1 {
  return { "~standard": { version: 1, vendor: "tests", validate } };
}

const noBytes = (): Uint8Array => new Uint8Array();

function rejectionOf(schema: StandardSchemaV1, event: unknown): EventInvalidError {
  try {
    withSchema(schema, noBytes)(event);
  } catch (error) {
    assert.ok(error instanceof EventInvalidError, String(error));
    return error;
  }
  assert.fail("it was not rejected");
}

function issueOf(
  event: unknown,
  message: string,
  ...path: (PropertyKey | { key: PropertyKey })[]
): EventIssue {
  return rejectionOf(rejecting({ message, path }), event).issues[0]!;
}

test("names fields as a program would write them", () => {
  const event = { user: { id: 1 }, items: [{ price: 2 }], "a b": [3], 7: { x: 4 }, by: new Map([["k", 5]]) };
  const fieldOf = (...path: (PropertyKey | { key: PropertyKey })[]): string =>
    issueOf(event, "wrong", ...path).field;
  assert.equal(fieldOf("user", "id"), "user.id");
  assert.equal(fieldOf("items", 0, "price"), "items[0].price");
  assert.equal(fieldOf("items", "0", "price"), "items[0].price", "an index that is a text");
  assert.equal(fieldOf({ key: "a b" }, { key: 0 }), '["a b"][0]');
  assert.equal(fieldOf("7", "x"), "7.x");
  assert.equal(fieldOf("by", "k"), "by.k");
  assert.equal(fieldOf("missing", "further", 3), "missing.further[3]");
  assert.equal(fieldOf(Symbol("s")), "[Symbol(s)]");
  assert.equal(fieldOf(), "");
  assert.equal(fieldOf("k".repeat(1_000)).length, 203, "a key that was sent is not repeated at length");
});

test("tells what was found: numbers and constants, and of texts only the length", () => {
  const event = {
    number: 5,
    text: "hidden",
    list: [1, 2],
    nothing: null,
    big: 2n ** 64n,
    object: new Date(0),
    by: new Map([["k", 5]]),
    get broken(): number {
      throw new Error("broken");
    },
  };
  const found = (...path: string[]): string | undefined => issueOf(event, "wrong", ...path).found;
  assert.equal(found("number"), "5");
  assert.equal(found("text"), "a string of length 6");
  assert.equal(found("list"), "an array of length 2");
  assert.equal(found("nothing"), "null");
  assert.equal(found("missing"), "undefined");
  assert.equal(found("big"), "18446744073709551616n");
  assert.equal(found("object"), "an object (Date)");
  assert.equal(found("by", "k"), undefined, "it does not know how to look into a Map");
  assert.equal(found("nothing", "deeper"), undefined);
  assert.equal(found("broken"), undefined);
});

test("leaves texts of the event out of the schema's words", () => {
  const problemOf = (value: unknown, message: string): string =>
    issueOf({ field: value }, message, "field").problem;
  assert.equal(problemOf("bob", 'must be an email (was "bob")'), 'must be an email (was "...")');
  assert.equal(problemOf('b"b', 'must be an email (was "b\\"b")'), 'must be an email (was "...")');
  assert.equal(problemOf("my password", "my password is too short"), "... is too short");
  assert.equal(problemOf(" my password ", "received my password"), "received ...", "it was trimmed");
  assert.equal(
    problemOf({ user: ["my password"] }, '{"user":["my password"]} is odd'),
    '{"user":["..."]} is odd',
  );
  assert.equal(problemOf("x", `was "${"CHANGED ".repeat(20)}"`), 'was "..."', "a long quotation");
  assert.equal(problemOf("view", "must be view or vote"), "must be view or vote", "words stay");
  assert.equal(problemOf(5, `wrong ${"x".repeat(1_000)}`).length, 203);
});

test("never shows a text of the event, however odd, whatever the library", () => {
  const schemas: StandardSchemaV1[] = [
    z.object({ user: z.object({ mail: z.email() }) }),
    v.object({ user: v.object({ mail: v.pipe(v.string(), v.trim(), v.email()) }) }),
    type({ user: { mail: "string.email" } }),
    z.object({ user: z.object({ mail: z.literal("mine") }) }),
    v.object({ user: v.object({ mail: v.literal("mine") }) }),
    type({ user: { mail: "'mine'" } }),
    v.object({ user: v.string() }),
    type({ user: "string" }),
  ];
  const odd = fc.string({ minLength: 8, unit: "binary" }).filter((text) => text.trim().length >= 8);
  fc.assert(
    fc.property(odd, fc.constantFrom(...schemas), (text, schema) => {
      const { message, field } = rejectionOf(schema, { user: { mail: `${text}!` } });
      assert.match(field, /^user/);
      assert.ok(
        !message.includes(text.trim()) && !message.includes(JSON.stringify(text).slice(1, -1)),
        message,
      );
    }),
    { numRuns: 200 },
  );
});

test("says the first issue in its message, and which other fields there are", () => {
  const message = (...paths: string[]): string =>
    rejectionOf(
      rejecting(...paths.map((path) => ({ message: "Wrong.", path: path === "" ? [] : [path] }))),
      {},
    ).message;
  assert.equal(message("a"), "Event field a is not valid: Wrong (found undefined).");
  assert.equal(message(""), "Event is not valid: Wrong (found an object (Object)).");
  assert.equal(
    message("a", "b", ""),
    "Event field a is not valid: Wrong (found undefined). 2 more: b, the event itself.",
  );
  assert.match(message("a", "b", "c", "d", "e"), /\. 4 more: b, c, d, \.\.\.\.$/);
  assert.equal(message(), "Event is not valid: its schema does not say why.");
});

test("keeps a bounded number of issues", () => {
  const issues = Array.from({ length: 1_000 }, (_, index) => ({ message: "wrong", path: [index] }));
  const error = rejectionOf(rejecting(...issues), []);
  assert.equal(error.issues.length, MAX_EVENT_ISSUES);
  assert.equal(error.field, "[0]");
});

test("serializes what the schema makes of the event", () => {
  const doubling = standard((value) => ({ value: [value, value] }));
  const serialize = withSchema(doubling, (event) => Buffer.from(JSON.stringify(event)));
  assert.equal(String(serialize("x")), '["x","x"]');
});

test("rejects an event whose schema throws, and keeps its words in the cause", () => {
  const failure = new RangeError("my password");
  const throwing = standard(() => {
    throw failure;
  });
  const error = rejectionOf(throwing, {});
  assert.equal(error.message, "Event is not valid: its schema threw RangeError.");
  assert.equal(error.cause, failure);
});

test("rejects a schema that validates asynchronously, however its promise ends", async () => {
  const late = standard(() => Promise.reject(new Error("late")));
  assert.throws(
    () => withSchema(late, noBytes)({}),
    (error) =>
      error instanceof ConfigurationError &&
      error.location.key === "schema" &&
      /tests that validates asynchronously, and put does not wait/.test(error.message),
  );
  await new Promise(setImmediate); // an unhandled rejection would fail this test
});

test("rejects at once what is no schema", () => {
  for (const wrong of [null, 5, {}, { "~standard": { version: 2, validate: () => {} } }, class Event {}]) {
    assert.throws(
      () => withSchema(wrong as never, noBytes),
      (error) => error instanceof ConfigurationError && error.location.key === "schema",
    );
  }
});
