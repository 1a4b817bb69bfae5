import assert from "node:assert/strict";
import { test } from "node:test";
import { type EventChecks, parseEvents } from "../../../src/collector/batch_parser.ts";
import type { RequestVersion } from "../../../src/collector/sinks/sink.ts";
import fc from "../../support/fast_check.ts";

/** The events of a batch, as texts. */
function textsOf(text: string, version: RequestVersion, checks: EventChecks = {}): string[] {
  const { events } = parseEvents(Buffer.from(text), version, checks);
  return Array.from({ length: events.count }, (_, index) => events.text(index));
}

const v2 = (text: string) => textsOf(text, "2", { checkStructs: false });
const v2j = (text: string) => textsOf(text, "2j");

test("each event is returned byte for byte", () => {
  assert.deepEqual(v2('{"1":{"lst":["rec",2,{"1":{"i64":9007199254740993}},{"2":{"dbl":1.50}}]}}'), [
    '{"1":{"i64":9007199254740993}}',
    '{"2":{"dbl":1.50}}',
  ]);
  assert.deepEqual(v2j("[ 1e3 ,\n[1, 2],-0.0]"), ["1e3", "[1, 2]", "-0.0"]);
});

test("brackets, commas and escaped quotes in strings are part of the string", () => {
  const events = ['"]},{["', '{"a\\"]":"\\\\"}', '"\\u005d\\\\\\""'];
  assert.deepEqual(v2j(`[${events.join(",")}]`), events);
});

test("white space is allowed wherever JSON allows it", () => {
  assert.deepEqual(v2(' {\t"1" : { "lst" : [ "rec" , 1 , { } ] } }\r\n'), ["{ }"]);
  assert.deepEqual(v2j(" [ ] "), []);
});

test("a batch may be empty", () => {
  assert.deepEqual(v2('{"1":{"lst":["rec",0]}}'), []);
  assert.deepEqual(v2j("[]"), []);
});

test("any array is split into the texts of its elements", () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), fc.constantFrom(undefined, 1, "\t"), (values, indent) => {
      const events = v2j(JSON.stringify(values, null, indent));
      assert.deepEqual(
        events.map((event) => JSON.parse(event)),
        JSON.parse(JSON.stringify(values)),
      );
    }),
  );
});

test("any v2 list is split into the texts of its elements", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.jsonValue().map((value) => JSON.stringify(value)),
        { minLength: 1 },
      ),
      (events) => {
        assert.deepEqual(v2(`{"1":{"lst":["rec",${events.length},${events.join(",")}]}}`), events);
      },
    ),
  );
});

const rejected: [RequestVersion, string, RegExp][] = [
  ["2", '{"1":{"lst":["rec",1,{}],"x":[1]}}', /not a version 2 batch/],
  ["2", '{"1":{"lst":["rec",1,{}]},"2":{"x":[1]}}', /not a version 2 batch/],
  ["2", '{"1":{"lst":["rec",1,{}]},"1":{"lst":["rec",1,{}]}}', /not a version 2 batch/],
  ["2", '{"1":{"lst":["str",1,{}]}}', /not a version 2 batch/],
  ["2", '{"2":{"lst":["rec",1,{}]}}', /not a version 2 batch/],
  ["2", "[{}]", /not a version 2 batch/],
  ["2", '{"1":{"lst":["rec",1]}}', /announces 1 events and holds 0/],
  ["2", '{"1":{"lst":["rec",1,{},{}]}}', /announces 1 events and holds 2/],
  ["2", '{"1":{"lst":["rec",1.0,{}]}}', /not a version 2 batch/],
  ["2j", "{}", /not a version 2j batch/],
  ["2j", "1", /not a version 2j batch/],
  ["2j", "[1,]", /not JSON/],
  ["2j", "[1] [2]", /not JSON/],
  ["2j", "", /not JSON/],
  ["2j", "\ufeff[1]", /not JSON/],
];

for (const [version, text, message] of rejected) {
  test(`a version ${version} body ${JSON.stringify(text)} is rejected`, () => {
    assert.throws(() => parseEvents(Buffer.from(text), version), { status: 400, message });
  });
}

test("a body that is not UTF-8 is rejected", () => {
  assert.throws(() => parseEvents(Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d]), "2j"), { status: 400 });
});

/** The errors of the rejected events, by index. */
function rejectedOf(text: string, version: RequestVersion, checks: EventChecks = {}): Record<number, string> {
  const { rejections } = parseEvents(Buffer.from(text), version, checks);
  return Object.fromEntries(rejections.list().map(({ index, error }) => [index, error]));
}

test("of a version 2 list, exactly the events that are not Thrift structs are rejected", () => {
  const events = ['{"1":{"i64":5}}', '{"id":5}', "{}", "[]", '{"1":{"i64":"5"}}', '{"1":{"str":"a"}}'];
  const list = `{"1":{"lst":["rec",6,${events.join(",")}]}}`;
  assert.deepEqual(rejectedOf(list, "2"), {
    1: "not a Thrift struct (expected a field id at byte 1); for JSON events, set collector.version = 2j in the publisher",
    3: "not a Thrift struct (expected a struct at byte 0); for JSON events, set collector.version = 2j in the publisher",
    4: "expected a number at byte 12",
  });
  assert.deepEqual(textsOf(list, "2"), events);
  assert.deepEqual(rejectedOf(list, "2", { checkStructs: false }), { 3: "expected an object at byte 0" });
});

test("version 1 accepts objects only, and 2j any JSON", () => {
  const events = ["{}", "1", "[]", '{"a":null}', "null"];
  const problem = "expected an object at byte 0";
  assert.deepEqual(rejectedOf(`[${events.join(",")}]`, "1"), { 1: problem, 2: problem, 4: problem });
  assert.deepEqual(rejectedOf(`[${events.join(",")}]`, "2j"), {});
});

test("an event of more than 102,400 bytes is rejected", () => {
  const fits = `"${"x".repeat(102_398)}"`;
  assert.deepEqual(rejectedOf(`[${fits},1,"x${fits.slice(1)}]`, "2j"), {
    2: "too large: 102401 bytes, the limit is 102400",
  });
});

test("an event that nests deeper than 512 is rejected, and the events behind it are found", () => {
  const nest = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
  const deep = String.raw`{"a":"]}\\","b":${nest(50_000)}}`;
  const batch = `[${nest(512)},${nest(513)},${deep},{"z":1}]`;
  assert.deepEqual(textsOf(batch, "2j"), [nest(512), nest(513), deep, '{"z":1}']);
  assert.deepEqual(Object.keys(rejectedOf(batch, "2j")), ["1", "2"]);
  assert.match(rejectedOf(batch, "2j")[1]!, /^nests deeper than 512 at byte 512$/);
});

test("a batch of too many events is rejected before all are read", () => {
  const checks = { maxEvents: 2 };
  assert.deepEqual(textsOf("[1,2]", "2j", checks), ["1", "2"]);
  assert.throws(() => textsOf("[1,2,", "2j", checks), { status: 413, message: /more than 2 events/ });
  assert.throws(() => textsOf('{"1":{"lst":["rec",3,{},{},', "2", checks), { status: 413 });
});

test("a batch with more rejected events than can be listed is rejected whole", () => {
  const batch = (count: number): string => `[${Array(count).fill(1).join(",")}]`;
  assert.equal(Object.keys(rejectedOf(batch(500), "1")).length, 500);
  assert.throws(() => rejectedOf(batch(5_000), "1"), { status: 422, message: /Nothing was stored/ });
});

const asJson = (events: readonly string[]): Record<number, string> =>
  rejectedOf(`[${events.join(",")}]`, "2j");

test("Thrift structs that are sent as plain JSON are all rejected, and the error names the setting", () => {
  const structs = ['{"1":{"str":"view"}}', '{"1":{"i64":5},"2":{"rec":{"1":{"tf":1}}}}', "{}"];
  const errors = Object.values(asJson(structs));
  assert.equal(errors.length, structs.length);
  for (const error of errors)
    assert.match(error, /Thrift struct.*set collector\.version = 2 in the publisher$/);
  assert.deepEqual(rejectedOf(`[${structs.join(",")}]`, "2j", { checkStructs: false }), {});
});

test("JSON that only resembles a Thrift struct is accepted as JSON", () => {
  for (const event of [
    "{}",
    '{"1":5}',
    '{"1":{"str":5}}',
    '{"1":{"str":"a","i32":1}}',
    '{"1":{"string":"a"}}',
    '{"17":{"set":[1,2]}}',
    '{"1":{"map":{"a":1}}}',
    '{"1":{"S":"DynamoDB"}}',
    '{"action":{"str":"view"}}',
    '[{"1":{"str":"view"}}]',
    '"{\\"1\\":{\\"str\\":\\"view\\"}}"',
  ]) {
    assert.deepEqual(asJson([event]), {}, event);
    assert.deepEqual(asJson(['{"1":{"str":"view"}}', event === "{}" ? "1" : event]), {}, `beside ${event}`);
  }
});

test("a JSON event with a name as a key is never treated as a Thrift struct", () => {
  const name = fc.stringMatching(/^[A-Za-z_][\w.-]*$/);
  const event = fc.dictionary(name, fc.jsonValue(), { minKeys: 1 }).map((value) => JSON.stringify(value));
  const struct = fc.constant('{"1":{"str":"view"}}');
  fc.assert(
    fc.property(event, fc.array(fc.oneof(event, struct), { maxLength: 5 }), (one, others) => {
      assert.deepEqual(asJson([...others, one]), {});
    }),
  );
});
