import assert from "node:assert/strict";
import { test } from "node:test";
import { mutantsOf, mutate } from "../../../scripts/test/mutants.ts";

/** All mutants of a source text, as text. */
const MUTANTS: Readonly<Record<string, readonly string[]>> = {
  "let x = a < b": ["let x = a <= b", "let x = a >= b"],
  "let x = a !== b": ["let x = a === b"],
  "let x = a && b": ["let x = a || b"],
  "let x = a ?? b": ["let x = a"],
  "let x = !a": ["let x = a"],
  "let x = a - b": ["let x = a + b"],
  "let x = i++": ["let x = i--"],
  "let x = 2": ["let x = 3", "let x = 1"],
  "let x = 5_000": ["let x = 5001"],
  "let x = true": ["let x = false"],
  "let x = await f()": ["let x = f()"],
  "let x = a?.b": ["let x = a.b"],
  "let x = a?.[i]": ["let x = a[i]"],
  "let x = Math.min(a, b)": ["let x = Math.max(a, b)"],
  "let x = a ? b : c": ["let x = !(a) ? b : c"],
  "let x = sql(`DELETE FROM t WHERE id <= ?`)": [
    "let x = sql(`DELETE FROM t WHERE id < ?`)",
    "let x = sql(`DELETE FROM t WHERE id > ?`)",
  ],
  "let x = 'SELECT max(id) FROM t'": ["let x = 'SELECT min(id) FROM t'"],
  "if (a) {} else b();": ["if (!(a)) {} else b();", "if (a) {} else ;"],
  "if (a) return b;": ["if (!(a)) return b;", ";", "if (a) return;"],
};

test("a mutant has one operator, constant, condition or statement changed", () => {
  for (const [source, mutants] of Object.entries(MUTANTS)) {
    const made = mutantsOf(source).map((mutant) => mutate(source, mutant));
    assert.deepEqual(new Set(made), new Set(mutants), source);
  }
});

test("a mutant has the line of its change", () => {
  assert.deepEqual(
    mutantsOf("// first\na();\n\nb();").map(({ line }) => line),
    [2, 4],
  );
});

test("types, imports and what a person reads have no mutants", () => {
  const sources = [
    "let a: 1 | 2;",
    "type A = { b?: 3 };",
    'import b from "c" with { type: "json" };',
    "throw new RangeError(a < b ? 1 : 2);",
    "logDropped(count + 1);",
    "this.#log.warn(a && b);",
    'let text = "1 < 2 AND 3";',
    'let text = "at most " + a;',
  ];
  for (const source of sources) assert.deepEqual(mutantsOf(source), [], source);
});
