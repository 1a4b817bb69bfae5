// biome-ignore-all lint/suspicious/noTemplateCurlyInString: `${NAME}` is the syntax under test.
import assert from "node:assert/strict";
import { test } from "node:test";
import { expandVars } from "../../../src/config/config_section.ts";
import fc from "../../support/fast_check.ts";

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
  test(`${JSON.stringify(text)} becomes ${JSON.stringify(expected)}`, () => {
    assert.deepEqual(expandVars(text, env), { text: expected, unset });
  });
}

test("a member that every object inherits is not a variable", () => {
  for (const name of ["constructor", "toString", "__proto__"]) {
    assert.deepEqual(expandVars(`$${name}`, process.env), { text: `$${name}`, unset: [name] });
  }
});

test("a text without a dollar sign does not change", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      fc.pre(!text.includes("$"));
      assert.deepEqual(expandVars(text, env), { text, unset: [] });
    }),
  );
});

test("every variable is expanded once", () => {
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

test("a megabyte of unclosed braces takes linear time", () => {
  const text = "${".repeat(500_000);
  assert.deepEqual(expandVars(text, env), { text, unset: [] });
});
