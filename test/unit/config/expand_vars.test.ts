// biome-ignore-all lint/suspicious/noTemplateCurlyInString: `${NAME}` is the syntax under test.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { expandVars } from "../../../src/config/config_section.ts";

const env = { A: "1", B_2: "$A", EMPTY: "", é: "no" };

for (const [text, expected, unset] of [
  ["$A-${A}-$A$A", "1-1-11", []],
  ["$B_2", "$A", []],
  ["[$EMPTY]", "[]", []],
  ["$NOPE ${NOPE_2}", "$NOPE ${NOPE_2}", ["NOPE", "NOPE_2"]],
  ["$$A", "$1", []],
  ["a$$b", "a$$b", ["b"]],
  ["a${b", "a${b", []],
  ["${A ${A} $A", "${A ${A} 1", ["A ${A"]],
  ["${A $A", "${A 1", []],
  ["$Aé", "1é", []],
  ["$é", "$é", []],
  ["${é}", "no", []],
  ["${}", "${}", [""]],
  ["$", "$", []],
  ["%A% $(A) ${ A }", "%A% $(A) ${ A }", [" A "]],
] as const) {
  test(`makes ${JSON.stringify(expected)} of ${JSON.stringify(text)}`, () => {
    assert.deepEqual(expandVars(text, env), { text: expected, unset });
  });
}

test("takes what every object inherits for a variable that is not set", () => {
  for (const name of ["constructor", "toString", "__proto__"]) {
    assert.deepEqual(expandVars(`$${name}`, process.env), { text: `$${name}`, unset: [name] });
  }
});

test("leaves any text without a dollar sign alone", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      fc.pre(!text.includes("$"));
      assert.deepEqual(expandVars(text, env), { text, unset: [] });
    }),
  );
});

test("fills in every variable once, wherever it stands", () => {
  const name = fc.stringMatching(/^[A-Za-z_]\w{0,6}$/);
  const plain = fc.stringMatching(/^[ -#%-z|~]{0,6}$/);
  fc.assert(
    fc.property(fc.array(fc.tuple(plain, name, fc.string())), (parts) => {
      const values = Object.fromEntries(parts.map(([, key, value]) => [key, value]));
      const text = parts.map(([before, key]) => `${before}\${${key}}`).join("");
      assert.equal(
        expandVars(text, values).text,
        parts.map(([before, key]) => before + values[key]).join(""),
      );
    }),
  );
});

test("is done with a megabyte of unclosed braces", () => {
  const text = "${".repeat(500_000);
  assert.deepEqual(expandVars(text, env), { text, unset: [] });
});
