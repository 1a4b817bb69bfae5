import assert from "node:assert/strict";
import { test } from "node:test";
import { flattenTable, parseToml, tableAt, tableNames } from "../../../src/config/config_file.ts";
import { ConfigurationError } from "../../../src/errors.ts";

test("an error in TOML names line and column, and shows no text of the file", () => {
  assert.throws(
    () => parseToml('[a]\nkey.secret = "aHVudGVyMg==" x\n', { file: "c.toml" }),
    (error) =>
      error instanceof ConfigurationError &&
      error.location.line === 2 &&
      /^c\.toml:2: column \d+: not valid TOML: /.test(error.message) &&
      !/aHVu/.test(error.message) &&
      error.cause === undefined,
  );
});

test("nested tables, numbers and booleans become dotted keys with text", () => {
  const table = parseToml('a.b = "x"\nc = 1_000\n[d]\ne = true\nf.g = 1.5\n"h.i" = "k"\n');
  assert.deepEqual(Object.fromEntries(flattenTable(table)), {
    "a.b": "x",
    c: "1000",
    "d.e": "true",
    "d.f.g": "1.5",
    "d.h.i": "k",
  });
});

test("arrays, dates, duplicate dotted keys and deep nesting are rejected", () => {
  const flatten = (text: string) => () => flattenTable(parseToml(text));
  const key = (expected: string) => (error: unknown) =>
    error instanceof ConfigurationError && error.location.key === expected;
  assert.throws(flatten("a.b = [1]\n"), key("a.b"));
  assert.throws(flatten("c = 2020-01-01\n"), key("c"));
  assert.throws(flatten('"a.b" = 1\na.b = 2\n'), key("a.b"));
  assert.throws(flatten(`${"a.".repeat(100_000)}a = 1\n`), /nested more than 8 levels deep/);
});

test("tableAt finds existing tables by path", () => {
  const root = parseToml("[a.b]\nc = 1\n[d]\n[[e]]\n");
  assert.deepEqual({ ...tableAt(root, ["a", "b"]) }, { c: 1 });
  for (const path of [["a", "c"], ["a", "b", "c"], ["e"], ["constructor"], ["a", "__proto__"]]) {
    assert.equal(tableAt(root, path), undefined);
  }
  assert.deepEqual(tableNames(root), ["a", "d"]);
});
