import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { EventSerializationError } from "../../../src/errors.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import fc from "../../support/fast_check.ts";

function textOf(event: unknown): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(serializeJsonEvent(event));
}

/** Asserts that the event is rejected for that field, in these words. */
function assertRejected(event: unknown, field: string, problem: RegExp): void {
  assert.throws(
    () => serializeJsonEvent(event),
    (error) => {
      assert.ok(error instanceof EventSerializationError, String(error));
      assert.equal(error.field, field, error.message);
      assert.match(error.message, problem);
      return true;
    },
  );
}

test("writes an event as UTF-8 JSON", () => {
  assert.equal(
    textOf({ source: "web", noun: "café 😀", tags: [1, true, null] }),
    '{"source":"web","noun":"café 😀","tags":[1,true,null]}',
  );
});

test("gives back every JSON value that goes in, -0 and lone surrogates too, in the words of JSON.stringify", () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: "binary" }), (event) => {
      assert.deepEqual(JSON.parse(textOf(event)), withoutPrototypes(event));
      assert.equal(JSON.stringify(JSON.parse(textOf(event))), JSON.stringify(event));
    }),
  );
});

/** fast-check makes objects without prototype, too, which JSON.parse does not. */
function withoutPrototypes(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutPrototypes);
  const members = Object.entries(value).map(([key, member]) => [key, withoutPrototypes(member)]);
  return Object.fromEntries(members);
}

test("leaves out members that are undefined", () => {
  assert.equal(textOf({ a: undefined, d: null, e: { f: undefined } }), '{"d":null,"e":{}}');
});

test("writes what toJSON gives, and asks for it once", () => {
  assert.equal(
    textOf({ at: new Date(0), none: { toJSON: () => null } }),
    '{"at":"1970-01-01T00:00:00.000Z","none":null}',
  );
  const keys: string[] = [];
  const inner = { toJSON: (key: string) => keys.push(key) };
  assert.equal(textOf({ a: { toJSON: () => ({ b: [inner], toJSON: undefined }) } }), '{"a":{"b":[1]}}');
  assert.deepEqual(keys, ["0"]);
});

test("reads each getter and each trap of a Proxy once", () => {
  let reads = 0;
  const event = {
    get count() {
      return ++reads;
    },
    proxy: new Proxy({ a: 0 }, { get: (_, key) => (key === "a" ? ++reads : undefined) }),
    none: null,
    list: Object.defineProperty([0], 0, { get: () => ++reads, enumerable: true }),
  };
  assert.equal(textOf(event), '{"count":1,"proxy":{"a":2},"none":null,"list":[3]}');
  assert.equal(reads, 3);
});

test("writes own fields of instances, objects without prototype and those of other realms", () => {
  class Point {
    x = 1;
    move(): void {}
  }
  class Far extends Point {
    y = { toJSON: () => 2 };
  }
  assert.equal(textOf(new Far()), '{"x":1,"y":2}');
  assert.equal(textOf(Object.assign(Object.create(null), { a: [] })), '{"a":[]}');
  assert.equal(
    textOf(runInNewContext("({ empty: {}, list: [1], at: new Date(0) })")),
    '{"empty":{},"list":[1],"at":"1970-01-01T00:00:00.000Z"}',
  );
});

test("keeps a member named __proto__, whatever it holds", () => {
  const text = '{"__proto__":{"__proto__":{"a":1}},"b":{"__proto__":-0}}';
  assert.equal(textOf(JSON.parse(text)), text);
});

test("writes boxed values and raw JSON as what they hold", () => {
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };
  assert.equal(
    textOf([Object("a"), Object(-0), Object(true), rawJSON("12345678901234567890.10")]),
    '["a",-0,true,12345678901234567890.10]',
  );
});

test("rejects raw JSON with half a character, which UTF-8 would replace", () => {
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };
  assertRejected({ a: [rawJSON('"\ud800"')] }, "a[0]", /raw JSON with a lone surrogate/);
  assert.equal(textOf(rawJSON('"\\ud800"')), '"\\ud800"');
});

test("rejects an event that is no JSON value", () => {
  assertRejected(undefined, "", /^Event is undefined, which JSON does not have$/);
  assertRejected(() => 1, "", /^Event is a function, which/);
  assertRejected(Symbol("a"), "", /^Event is a symbol, which/);
  assertRejected({ toJSON: () => undefined }, "", /^Event has a toJSON that returns undefined/);
});

class Money {
  readonly #cents = 5;
  get cents(): number {
    return this.#cents;
  }
}

/** What JSON.stringify drops or changes without a word, each with what the error says of it. */
const LOST: readonly (readonly [value: unknown, problem: RegExp])[] = [
  [Number.NaN, / is NaN, which/],
  [-Infinity, / is -Infinity, which/],
  [Object(Number.NaN), / is NaN, which/],
  [new Date(Number.NaN), / is an invalid date$/],
  [runInNewContext("new Date(NaN)"), / is an invalid date$/],
  [{ valueOf: () => Number.NaN, toJSON: () => null }, / is an invalid date$/],
  [12n, / is 12n, which/],
  [Object(12n), /BigInt/],
  [() => 1, / is a function, which/],
  [Symbol("a"), / is a symbol, which/],
  [{ toJSON: () => undefined }, / returns undefined$/],
  [{ toJSON: () => Number.NaN }, / is NaN, which/],
  [new Map([["a", 1]]), / is an object \(Map\).*Object.fromEntries/],
  [runInNewContext("new Map()"), / is an object \(Map\)/],
  [new Set(["a"]), / is an object \(Set\).*\[\.\.\.set\]/],
  [Promise.resolve(1), / is an object \(Promise\).*await it/],
  [new Error("secret"), / is an object \(Error\)/],
  [Object.assign(new TypeError("secret"), { code: "E" }), / is an object \(TypeError\)/],
  [/secret/, / is an object \(RegExp\)/],
  [new Uint8Array(2), / is an object \(Uint8Array\)/],
  [new ArrayBuffer(2), / is an object \(ArrayBuffer\)/],
  [new WeakMap(), / is an object \(WeakMap\)/],
  [[].values(), / is an object/],
];

test("rejects what JSON.stringify drops or changes, wherever it is, and names the field", () => {
  for (const [value, problem] of LOST) {
    assertRejected({ user: { extra: value } }, "user.extra", problem);
    assertRejected([null, value], "[1]", problem);
    assertRejected({ a: { toJSON: () => [value] } }, "a[0]", problem);
    assertRejected(value, "", problem);
  }
});

test("rejects undefined and holes in arrays", () => {
  assertRejected({ tags: ["a", undefined] }, "tags[1]", / is undefined, which/);
  const holed = ["a", "b"];
  delete holed[0];
  assertRejected({ tags: holed }, "tags[0]", / is a hole in an array/);
  assertRejected({ tags: new Array(2 ** 22) }, "tags[0]", / is a hole/);
  const endless = new Proxy([], { get: (_, key) => (key === "length" ? 2 ** 53 - 1 : 1), has: () => true });
  assertRejected({ tags: endless }, "tags", / has more than 4194304 elements/);
});

test("rejects members that JSON has no place for: those named by symbols, and those of arrays and boxed values", () => {
  const symbol = Symbol("secret");
  assertRejected({ user: { [symbol]: 1 } }, "user", / has a member named by a symbol/);
  assertRejected({ match: "ab".match(/a/) }, "match[index]", / is not an element of its array/);
  assertRejected(Object.assign([1], { [symbol]: 1 }), "[Symbol(secret)]", / is not an element of its array/);
  for (const length of [3, 63, 64, 1_000]) {
    const elements = Array.from({ length }, (_, index) => (index % 2 === 0 ? index : {}));
    assert.equal(textOf(elements), JSON.stringify(elements));
    assertRejected(Object.assign([...elements], { note: 1 }), "[note]", / is not an element of its array/);
    assertRejected(Object.assign([...elements], { [symbol]: 1 }), "[Symbol(secret)]", / is not an element/);
    assert.equal(
      textOf(Object.defineProperty([...elements], "hidden", { value: 1 })),
      JSON.stringify(elements),
    );
    class List extends Array<unknown> {}
    assert.equal(textOf(List.from(elements)), JSON.stringify(elements));
    assertRejected(Object.assign(List.from(elements), { note: 1 }), "[note]", / is not an element/);
  }
  for (const value of [5, "ab", true]) {
    const box: object = Object(value);
    assert.equal(textOf(Object.defineProperty(box, "hidden", { value: 1 })), JSON.stringify(value));
    assertRejected(
      { a: Object.assign(box, { [symbol]: 1 }) },
      'a["Symbol(secret)"]',
      / JSON has only its value$/,
    );
  }
  const hidden = Object.defineProperty({ a: 1 }, symbol, { value: 1 });
  assert.equal(textOf([hidden]), '[{"a":1}]');
  const template = ((strings: TemplateStringsArray) => strings)`a`;
  assert.equal(textOf(template), '["a"]');
});

test("rejects instances of which JSON would leave something out", () => {
  assertRejected({ price: new Money() }, "price", / is an object \(Money\) without fields of its own/);
  const inherited = Object.assign(Object.create({ currency: "EUR" }), { cents: 5 });
  assertRejected({ price: inherited }, "price.currency", / is inherited/);
  class Tax extends Money {
    rate = 0.2;
  }
  for (let time = 0; time < 2; time++) assertRejected({ tax: new Tax() }, "tax.cents", / is inherited/);
});

test("does not depend on what else is in the event", () => {
  for (const other of ["", "null", null])
    assertRejected({ other, at: new Date(Number.NaN) }, "at", /invalid/);
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

test("rejects a toJSON, a getter or a Proxy that throws, names the field and keeps the cause", () => {
  const cause = new TypeError("secret");
  const get = (): never => {
    throw cause;
  };
  const throwing = (key: string) => Object.defineProperty({}, key, { get, enumerable: true });
  const events: [field: string, event: object][] = [
    ["user", { user: { toJSON: get } }],
    ["user", { user: throwing("toJSON") }],
    ["user.name", { user: throwing("name") }],
    ["user", { user: new Proxy({}, { get }) }],
    ["user", { user: new Proxy({}, { ownKeys: get }) }],
    ["user", { user: new Proxy({}, { getPrototypeOf: get }) }],
    ["user[0]", { user: throwing.call(null, "0") && Object.defineProperty([1], 0, { get }) }],
  ];
  for (const [field, event] of events)
    assert.throws(
      () => serializeJsonEvent(event),
      (error) => {
        assert.ok(error instanceof EventSerializationError);
        assert.equal(error.field, field);
        assert.equal(error.cause, cause);
        assert.match(error.message, /cannot be read: TypeError was thrown$/);
        return true;
      },
    );
});

test("rejects with an EventSerializationError whatever is thrown", () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  for (const thrown of [null, undefined, "secret", Symbol("s"), Object.create(null)]) {
    const event = {
      get a() {
        throw thrown;
      },
    };
    assertRejected(event, "a", /cannot be read: (?!.*secret)/);
  }
  assertRejected({ proxy }, "proxy", /cannot be read: TypeError/);
  const throwing = {
    toJSON: () => {
      throw proxy;
    },
  }; // not even instanceof may look at it
  assert.throws(() => serializeJsonEvent({ throwing }), EventSerializationError);
  const endless = { toJSON: (): unknown => [endless.toJSON()] };
  assertRejected({ endless }, "endless", /cannot be read: RangeError/);
});

test("takes 512 objects and arrays in each other, and rejects one more", () => {
  const nested = (depth: number): unknown => {
    let event: unknown = 0;
    for (let level = 0; level < depth; level++) event = level % 2 === 0 ? [event] : { a: event };
    return event;
  };
  assert.equal(textOf(nested(512)).length, 256 * (2 + 6) + 1);
  for (const depth of [513, 100_000])
    assert.throws(
      () => serializeJsonEvent(nested(depth)),
      (error) => error instanceof EventSerializationError && /nested deeper than 512/.test(error.message),
    );
});

test("rejects an event that holds more objects than any batch does", () => {
  let event: unknown[] = [];
  for (let level = 0; level < 40; level++) event = [event, event];
  assert.throws(
    () => serializeJsonEvent(event),
    (error) => error instanceof EventSerializationError && /more than 262144 objects/.test(error.message),
  );
});

test("shows no text of the event in an error, but the keys on the way", () => {
  const shown = { constructor: { name: "secret" }, a: Number.NaN, text: "secret" };
  const instance = Object.assign(new Map(), { constructor: { name: "secret" } });
  for (const event of [shown, { instance }, { error: new Error("secret") }])
    assert.throws(
      () => serializeJsonEvent(event),
      (error) => error instanceof EventSerializationError && !String(error).includes("secret"),
    );
});

/** Values of all kinds, with what JSON.parse gives back; undefined: nothing may be stored. */
interface Case {
  readonly value: unknown;
  readonly model: { readonly json: unknown } | undefined;
}

const writable = fc
  .oneof(fc.string({ unit: "binary" }), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean())
  .map((json): Case => ({ value: json, model: { json } }));
const dates = fc
  .date({ noInvalidDate: true })
  .map((value): Case => ({ value, model: { json: value.toISOString() } }));
const lost = fc.constantFrom(...LOST.map(([value]): Case => ({ value, model: undefined })));
const { any } = fc.letrec<{ any: Case; list: Case; object: Case }>((tie) => ({
  any: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    { weight: 20, arbitrary: writable },
    { weight: 5, arbitrary: dates },
    { weight: 1, arbitrary: lost },
    { weight: 10, arbitrary: tie("list") },
    { weight: 10, arbitrary: tie("object") },
  ),
  list: fc.array(tie("any"), { maxLength: 4 }).map((cases): Case => {
    const json = cases.map(({ model }) => model?.json);
    return {
      value: cases.map(({ value }) => value),
      model: cases.every(({ model }) => model) ? { json } : undefined,
    };
  }),
  object: fc
    .dictionary(fc.string(), tie("any"), { maxKeys: 4, noNullPrototype: true })
    .map((members): Case => {
      const entries = Object.entries(members);
      const value = Object.fromEntries(entries.map(([key, { value }]) => [key, value]));
      const json = Object.fromEntries(entries.map(([key, { model }]) => [key, model?.json]));
      return { value, model: entries.every(([, { model }]) => model) ? { json } : undefined };
    }),
}));

test("an event arrives as it was given, or is rejected", () => {
  fc.assert(
    fc.property(any, ({ value, model }) => {
      if (model === undefined) assert.throws(() => serializeJsonEvent(value), EventSerializationError);
      else assert.deepEqual(JSON.parse(textOf(value)), model.json);
    }),
    { numRuns: 1_000 },
  );
});
