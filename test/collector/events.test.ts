import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type BatchVersion, parseEvents, splitElements } from "../../src/collector/events.ts";

const v2 = (text: string) => parseEvents(Buffer.from(text), "2");
const v2j = (text: string) => parseEvents(Buffer.from(text), "2j");

test("returns each event as it was sent", () => {
  assert.deepEqual(v2('{"1":{"lst":["rec",2,{"1":{"i64":9007199254740993}},{"2":{"dbl":1.50}}]}}'), [
    '{"1":{"i64":9007199254740993}}',
    '{"2":{"dbl":1.50}}',
  ]);
  assert.deepEqual(v2j("[ 1e3 ,\n[1, 2],-0.0]"), ["1e3", "[1, 2]", "-0.0"]);
});

test("is not misled by brackets, commas and escaped quotes in strings", () => {
  const events = ['"]},{["', '{"a\\"]":"\\\\"}', '"\\u005d\\\\\\""'];
  assert.deepEqual(v2j(`[${events.join(",")}]`), events);
});

test("takes white space wherever JSON does", () => {
  assert.deepEqual(v2(' {\t"1" : { "lst" : [ "rec" , 1 , { } ] } }\r\n'), ["{ }"]);
  assert.deepEqual(v2j(" [ ] "), []);
});

test("takes an empty batch", () => {
  assert.deepEqual(v2('{"1":{"lst":["rec",0]}}'), []);
  assert.deepEqual(v2j("[]"), []);
});

test("splits any array into the texts of its elements", () => {
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

test("splits any v2 list into the texts of its elements", () => {
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

const refused: [BatchVersion, string, RegExp][] = [
  ["2", '{"1":{"lst":["rec",1,{}],"x":[1]}}', /not a version 2 batch/],
  ["2", '{"1":{"lst":["rec",1,{}]},"2":{"x":[1]}}', /not a version 2 batch/],
  ["2", '{"1":{"lst":["rec",1,{}]},"1":{"lst":["rec",1,{}]}}', /not a version 2 batch/],
  ["2", '{"1":{"lst":["str",1,{}]}}', /not a version 2 batch/],
  ["2", '{"2":{"lst":["rec",1,{}]}}', /not a version 2 batch/],
  ["2", "[{}]", /not a version 2 batch/],
  ["2", '{"1":{"lst":["rec",1]}}', /says 1 events and holds 0/],
  ["2", '{"1":{"lst":["rec",1,{},{}]}}', /says 1 events and holds 2/],
  ["2", '{"1":{"lst":["rec",1.0,{}]}}', /not a version 2 batch/],
  ["2j", "{}", /not a version 2j batch/],
  ["2j", "1", /not a version 2j batch/],
  ["2j", "[1,]", /not JSON/],
  ["2j", "[1] [2]", /not JSON/],
  ["2j", "", /not JSON/],
  ["2j", "\ufeff[1]", /not JSON/],
];

for (const [version, text, message] of refused) {
  test(`refuses version ${version} ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseEvents(Buffer.from(text), version), { status: 400, message });
  });
}

test("refuses what is not UTF-8", () => {
  assert.throws(() => parseEvents(Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d]), "2j"), { status: 400 });
});

test("says so when brackets are not a pair", () => {
  assert.equal(splitElements('{}],"x":[1'), undefined);
});
