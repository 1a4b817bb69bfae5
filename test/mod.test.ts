import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { VERSION } from "../src/version.ts";

test("has the version of package.json", () => {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  assert.equal(VERSION, version);
});

test("stays light to import: no package but SQLite, and of Node's modules none that take long to load", () => {
  const outside = importsOf(new URL("../src/mod.ts", import.meta.url));
  const packages = [...outside].filter((name) => !name.startsWith("node:"));
  assert.deepEqual(packages, ["better-sqlite3"]);
  // Under Bun node:crypto alone takes 18 ms; the global crypto.randomUUID takes none.
  const heavy = ["node:crypto", "node:http", "node:https", "node:net", "node:dgram", "node:zlib"];
  assert.deepEqual(
    heavy.filter((name) => outside.has(name)),
    [],
  );
});

/** The packages and modules that a file and the files it imports import when they are run. */
function importsOf(file: URL, seen: Set<string> = new Set(), outside: Set<string> = new Set()): Set<string> {
  if (seen.has(file.href)) return outside;
  seen.add(file.href);
  const statements = /^(?:import|export) (?!type )(?:[^;"]*? from )?"([^"]+)";/gm;
  for (const [, name = ""] of readFileSync(file, "utf8").matchAll(statements)) {
    if (name.startsWith(".")) importsOf(new URL(name, file), seen, outside);
    else outside.add(name);
  }
  return outside;
}
