import assert from "node:assert/strict";
import { test } from "node:test";
import { flattenTable, parseToml, tableAt, tableNames } from "../../../src/config/config_file.ts";
import { ConfigurationError } from "../../../src/errors.ts";

test("names line and column where text is not TOML, and shows none of it", () => {
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

test("makes dotted keys and text of nested tables, numbers and booleans", () => {
  const table = parseToml('a.b = "x"\nc = 1_000\n[d]\ne = true\nf.g = 1.5\n"h.i" = "k"\n');
  assert.deepEqual(Object.fromEntries(flattenTable(table)), {
    "a.b": "x",
    c: "1000",
    "d.e": "true",
    "d.f.g": "1.5",
    "d.h.i": "k",
  });
});

test("rejects arrays, dates, keys that are the same when dotted, and bottomless nesting", () => {
  const flatten = (text: string) => () => flattenTable(parseToml(text));
  const key = (expected: string) => (error: unknown) =>
    error instanceof ConfigurationError && error.location.key === expected;
  assert.throws(flatten("a.b = [1]\n"), key("a.b"));
  assert.throws(flatten("c = 2020-01-01\n"), key("c"));
  assert.throws(flatten('"a.b" = 1\na.b = 2\n'), key("a.b"));
  assert.throws(flatten(`${"a.".repeat(100_000)}a = 1\n`), /nested more than 8 deep/);
});

test("finds tables by path, and only tables that are there", () => {
  const root = parseToml("[a.b]\nc = 1\n[d]\n[[e]]\n");
  assert.deepEqual({ ...tableAt(root, ["a", "b"]) }, { c: 1 });
  for (const path of [["a", "c"], ["a", "b", "c"], ["e"], ["constructor"], ["a", "__proto__"]]) {
    assert.equal(tableAt(root, path), undefined);
  }
  assert.deepEqual(tableNames(root), ["a", "d"]);
});
