import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { VERSION } from "../src/version.ts";

test("has the version of package.json", () => {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  assert.equal(VERSION, version);
});

test("imports nothing heavy into a service", () => {
  const packages = new Set<string>();
  const files = importsOf(new URL("../src/mod.ts", import.meta.url), packages);
  assert.deepEqual([...packages], ["better-sqlite3"]);
  const folders = new Set([...files].map((url) => url.replace(/^.*\/src\//, "").replace(/[^/]*$/, "")));
  assert.deepEqual([...folders].sort(), ["", "queue/", "serializers/", "store/"]);
});

/** The files that a module imports, by itself or by others, at run time; adds the packages to `packages`. */
function importsOf(
  module: URL,
  packages: Set<string>,
  seen: Set<string> = new Set([module.href]),
): Set<string> {
  const statements = readFileSync(module, "utf8").matchAll(
    /^(?:im|ex)port (?!type )(?:[\w*{},\s]+ from )?"([^"]+)";$/gm,
  );
  for (const [, specifier] of statements) {
    const url = new URL(specifier!, module);
    if (specifier!.startsWith("node:") || seen.has(url.href)) continue;
    if (!specifier!.startsWith(".")) packages.add(specifier!);
    else importsOf(url, packages, seen.add(url.href));
  }
  return seen;
}
