import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { VERSION } from "../../src/version.ts";

test("has the version of package.json", () => {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  assert.equal(VERSION, version);
});

test("stays light to import: no package, and of Node's modules none that take long to load", () => {
  const { files, outside } = importsOf(new URL("../../src/mod.ts", import.meta.url));
  const packages = [...outside].filter((name) => !name.startsWith("node:"));
  assert.deepEqual(packages, []);
  // Under Bun node:crypto alone takes 18 ms; the global crypto.randomUUID takes none.
  const heavy = ["node:crypto", "node:http", "node:https", "node:net", "node:dgram", "node:zlib"];
  assert.deepEqual(
    heavy.filter((name) => outside.has(name)),
    [],
  );
  const folders = new Set([...files].map((url) => url.replace(/^.*\/src\//, "").replace(/[^/]*$/, "")));
  assert.deepEqual([...folders].sort(), [
    "",
    "queue/",
    "serializers/",
    "storage/",
    "storage/sqlite/",
    "wire/",
  ]);
});

interface Imports {
  /** Of this repository. */
  readonly files: Set<string>;
  /** Packages and modules. */
  readonly outside: Set<string>;
}

/** What a file and the files it imports import when they are run. */
function importsOf(file: URL, found: Imports = { files: new Set(), outside: new Set() }): Imports {
  if (found.files.has(file.href)) return found;
  found.files.add(file.href);
  const statements = /^(?:import|export) (?!type )(?:[^;"]*? from )?"([^"]+)";/gm;
  for (const [, name = ""] of readFileSync(file, "utf8").matchAll(statements)) {
    if (name.startsWith(".")) importsOf(new URL(name, file), found);
    else found.outside.add(name);
  }
  return found;
}
