import assert from "node:assert/strict";
import { test } from "node:test";
import { indentJson } from "../../../../src/admin/dashboard/dead_letters.ts";
import fc from "../../../support/fast_check.ts";

test("shows what JSON.stringify would with two spaces, as long as no number is damaged by it", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
      assert.equal(indentJson(JSON.stringify(value)), JSON.stringify(value, undefined, 2));
    }),
  );
});

test("ignores the spacing of the text", () => {
  assert.equal(
    indentJson(' { "a" : [ 1 ,\t2 ] , "b" : { } , "c": [ ] } '),
    indentJson('{"a":[1,2],"b":{},"c":[]}'),
  );
});

test("keeps every digit, and every character of a string", () => {
  assert.equal(
    indentJson('{"id":12345678901234567890123,"e":1.50E+10}'),
    '{\n  "id": 12345678901234567890123,\n  "e": 1.50E+10\n}',
  );
  assert.equal(
    indentJson(String.raw`["a, \"b\": {[ \\","e"]`),
    `[\n  ${String.raw`"a, \"b\": {[ \\"`},\n  "e"\n]`,
  );
});

test("takes a text that was cut off as far as it goes, wherever that is", () => {
  const whole = String.raw`{"a":[1,{"b":"c\"d\\"}],"e":null}`;
  for (let end = 0; end <= whole.length; end++) {
    const shown = indentJson(whole.slice(0, end));
    assert.equal(shown.replaceAll(/\s/g, ""), whole.slice(0, end), `cut at ${end}`);
  }
});

test("does not fill the page with spaces, however deep a hostile text nests", () => {
  const shown = indentJson("[".repeat(4_000));
  assert.ok(shown.length < 4_000 * 26, `${shown.length} characters`);
});
