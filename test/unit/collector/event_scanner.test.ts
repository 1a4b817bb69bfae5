import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import { test } from "node:test";
import { JsonFault, skipSpace, skipStruct, skipValue } from "../../../src/collector/event_scanner.ts";
import fc from "../../support/fast_check.ts";
import { readVectors } from "../../support/vectors.ts";

const RUNS = { numRuns: 2_000 };

/** Whether the scanner accepts the text as one JSON value, with white space around it. */
function isScanned(text: string): boolean {
  const body = Buffer.from(text);
  try {
    return skipSpace(body, skipValue(body, skipSpace(body, 0), 0)) === body.length;
  } catch (error) {
    assert.ok(error instanceof JsonFault, String((error as Error).stack));
    return false;
  }
}

function isParsed(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const indents = fc.constantFrom(undefined, 1, "\t");
const jsonTexts = fc
  .tuple(fc.jsonValue({ maxDepth: 5 }), indents)
  .map(([value, indent]) => JSON.stringify(value, null, indent));

/** Pieces of JSON, and some that are not. */
const pieces = fc.constantFrom(
  ...'{}[],:"\\-+.eE0123 \n\t\r\0\x1f\x7f'.split(""),
  ...[
    "true",
    "false",
    "null",
    "tru",
    "NaN",
    "Infinity",
    "1e5",
    "-0",
    "01",
    "1.",
    ".5",
    "0x1",
    "1e",
    "1e+",
    "--1",
  ],
  ...[
    '""',
    '"a"',
    "\\u00e9",
    "\\ud800",
    "\\u12",
    "\\x",
    "'",
    "é",
    "\u2028",
    "\ufeff",
    "\u00a0",
    '"\\\\"',
    '{"a":1}',
  ],
);

test("the scanner accepts every JSON text", () => {
  fc.assert(
    fc.property(jsonTexts, (text) => {
      assert.ok(isScanned(text), text);
    }),
    RUNS,
  );
});

test("the scanner accepts the same texts as JSON.parse, whatever their pieces", () => {
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
      const text = parts.join("");
      assert.equal(isScanned(text), isParsed(text), JSON.stringify(text));
    }),
    RUNS,
  );
});

test("the scanner accepts the same texts as JSON.parse after one change in a JSON text", () => {
  fc.assert(
    fc.property(jsonTexts, fc.nat(), fc.nat(3), pieces, (json, place, cut, put) => {
      const at = place % (json.length + 1);
      const text = json.slice(0, at) + put + json.slice(at + cut);
      assert.equal(isScanned(text), isParsed(text), JSON.stringify(text));
    }),
    RUNS,
  );
});

for (const text of [
  ...["0", "-0", "1.5e-3", "1E400", "-", "00", "-01", "1.e5", "+1", "1_0", "1n", '"\\u00G0"', '"\n"', '"\t"'],
  ...[
    '"\x7f"',
    '"\\',
    '"\\u',
    '"',
    "[",
    "[1",
    "[1,",
    "[,1]",
    "{",
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,}',
    "{,}",
  ],
  ...[
    '{"a":1,"a":2}',
    "{a:1}",
    "{1:1}",
    "[1 2]",
    "[1]]",
    "truee",
    "nul",
    "",
    " ",
    "[] []",
    "\u00a0[]",
    "[]\0",
  ],
]) {
  test(`the scanner agrees with JSON.parse about ${JSON.stringify(text)}`, () => {
    assert.equal(isScanned(text), isParsed(text));
  });
}

test("a fault names the byte", () => {
  assert.throws(() => skipValue(Buffer.from('{"é":tru}'), 0, 0), { at: 6 });
});

test("any UTF-8 bytes give a fault or a position within them", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
      if (!isUtf8(bytes)) return;
      try {
        assert.ok(skipValue(bytes, 0, 0) <= bytes.length);
      } catch (error) {
        assert.ok(error instanceof JsonFault);
      }
    }),
    RUNS,
  );
});

interface Case {
  readonly name: string;
  readonly json?: string;
  readonly json_is_valid_json?: boolean;
}

const { cases, python_quirks: quirks } = readVectors<{ cases: Case[]; python_quirks: Case[] }>("thrift");

/** What is wrong with a struct; undefined if nothing is. */
function faultOf(text: string): string | undefined {
  const body = Buffer.from(text);
  try {
    assert.equal(skipStruct(body, 0, 1), body.length, "all of it is the struct");
    return undefined;
  } catch (fault) {
    if (!(fault instanceof JsonFault)) throw fault;
    return `${fault.message} at ${fault.at}`;
  }
}

test("every struct that Python's TJSONProtocol writes as JSON is accepted", () => {
  const texts = [...cases, ...quirks].flatMap(({ json = "", json_is_valid_json: isJson = true }) => {
    const text = Buffer.from(json, "base64").toString();
    return json !== "" && isJson && !text.includes("True") ? [text] : [];
  });
  assert.ok(texts.length > 120, `${texts.length} structs`);
  for (const text of texts) assert.equal(faultOf(text), undefined, text);
});

test("a struct may have white space wherever JSON allows it", () => {
  const struct = {
    1: { rec: { 2: { lst: ["str", 2, "a", "b"] } } },
    3: { map: ["str", "i32", 1, { a: 1 }] },
  };
  for (const indent of [1, "\t"])
    assert.equal(faultOf(JSON.stringify(struct, null, indent).replaceAll("\n", "\r\n")), undefined);
});

test("NaN and the infinities are accepted as doubles", () => {
  assert.equal(faultOf('{"1":{"dbl":"NaN"},"2":{"dbl":"-Infinity"},"3":{"dbl":"Infinity"}}'), undefined);
});

for (const [text, fault] of [
  ["5", "expected a struct at 0"],
  ['{"x":1}', "expected a field id at 1"],
  ['{"01":{"i32":1}}', "expected a field id at 1"],
  ['{"1":5}', "expected a field with its type at 5"],
  ['{"1":{}}', "expected the name of a type at 6"],
  ['{"1":{"int":5}}', "expected the name of a type at 6"],
  ['{"1":{"i64":5,"str":"a"}}', "expected the end of a field at 13"],
  ['{"1":{"i64":"5"}}', "expected a number at 12"],
  ['{"1":{"tf":true}}', "expected a number at 11"],
  ['{"1":{"dbl":"nan"}}', "expected a number at 12"],
  ['{"1":{"str":5}}', "expected a string at 12"],
  ['{"1":{"str":null}}', "expected a string at 12"],
  ['{"1":{"rec":[]}}', "expected a struct at 12"],
  ['{"1":{"rec":{"2":{"i32":[]}}}}', "expected a number at 24"],
  ['{"1":{"lst":{}}}', "expected a list at 12"],
  ['{"1":{"lst":[]}}', "expected the name of a type at 13"],
  ['{"1":{"lst":["i32",2,1]}}', "expected one more at 22"],
  ['{"1":{"lst":["i32",1,1,2]}}', "expected the end of a list or map at 22"],
  ['{"1":{"lst":["i32",1,"a"]}}', "expected a number at 21"],
  ['{"1":{"lst":["i32",-1,1]}}', "expected the end of a list or map at 21"],
  ['{"1":{"map":["str","i32",1,[]]}}', "expected the members of a map at 27"],
  ['{"1":{"map":["str","i32",1,{}]}}', "unexpected byte at 28"],
  ['{"1":{"map":["str","i32",0,{"a":1}]}}', "expected a map of 0 at 28"],
] as const) {
  test(`the fault of ${text}`, () => {
    assert.equal(faultOf(text), fault);
  });
}

test("structs, lists and maps that nest too deep are rejected before the stack overflows", () => {
  const nest = (open: string, inner: string, close: string): string =>
    open.repeat(20_000) + inner + close.repeat(20_000);
  assert.match(faultOf(nest('{"1":{"rec":', "{}", "}}"))!, /^nests deeper than 512/);
  assert.match(faultOf(`{"1":{"lst":${nest('["lst",1,', '["i32",0]', "]")}}}`)!, /^nests deeper than 512/);
  assert.match(
    faultOf(`{"1":{"map":${nest('["str","map",1,{"a":', "1", "}]")}}}`)!,
    /^nests deeper than 512/,
  );
});
