import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonFault } from "../../../src/collector/json_scanner.ts";
import { skipStruct } from "../../../src/collector/thrift_scanner.ts";
import { readVectors } from "../../support/vectors.ts";

interface Case {
  readonly name: string;
  readonly json?: string;
  readonly json_is_valid_json?: boolean;
}

const { cases, python_quirks: quirks } = readVectors<{ cases: Case[]; python_quirks: Case[] }>("thrift");

/** What is wrong with a struct; undefined: nothing. */
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

test("takes every struct that Python's TJSONProtocol writes and that is JSON", () => {
  const texts = [...cases, ...quirks].flatMap(({ json = "", json_is_valid_json: isJson = true }) => {
    const text = Buffer.from(json, "base64").toString();
    return json !== "" && isJson && !text.includes("True") ? [text] : [];
  });
  assert.ok(texts.length > 120, `${texts.length} structs`);
  for (const text of texts) assert.equal(faultOf(text), undefined, text);
});

test("takes white space wherever JSON does", () => {
  const struct = {
    1: { rec: { 2: { lst: ["str", 2, "a", "b"] } } },
    3: { map: ["str", "i32", 1, { a: 1 }] },
  };
  for (const indent of [1, "\t"])
    assert.equal(faultOf(JSON.stringify(struct, null, indent).replaceAll("\n", "\r\n")), undefined);
});

test("takes what stands for a number that is none, where a double is", () => {
  assert.equal(faultOf('{"1":{"dbl":"NaN"},"2":{"dbl":"-Infinity"},"3":{"dbl":"Infinity"}}'), undefined);
});

for (const [text, fault] of [
  ["5", "expected a struct at 0"],
  ['{"x":1}', "expected the id of a field at 1"],
  ['{"01":{"i32":1}}', "expected the id of a field at 1"],
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
  test(`says what is wrong with ${text}`, () => {
    assert.equal(faultOf(text), fault);
  });
}

test("rejects structs, lists and maps that nest too deep, before the stack overflows", () => {
  const nest = (open: string, inner: string, close: string): string =>
    open.repeat(20_000) + inner + close.repeat(20_000);
  assert.match(faultOf(nest('{"1":{"rec":', "{}", "}}"))!, /^nests deeper than 512/);
  assert.match(faultOf(`{"1":{"lst":${nest('["lst",1,', '["i32",0]', "]")}}}`)!, /^nests deeper than 512/);
  assert.match(
    faultOf(`{"1":{"map":${nest('["str","map",1,{"a":', "1", "}]")}}}`)!,
    /^nests deeper than 512/,
  );
});
