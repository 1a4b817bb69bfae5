import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readPage } from "../../support/doc_page.ts";
import { ROOT } from "../../support/project.ts";

const named = [...readPage("ARCHITECTURE.md").matchAll(/`((?:src|test|bench|scripts)\/[\w./]*)`/g)].map(
  ([, path]) => path!,
);

test("ARCHITECTURE.md names existing files and folders", () => {
  assert.ok(named.length > 30, `only ${named.length} were found`);
  assert.deepEqual(
    named.filter((path) => !existsSync(join(ROOT, path))),
    [],
  );
});

test("ARCHITECTURE.md has a row for each room of src/", () => {
  const rooms = readdirSync(join(ROOT, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length));
  assert.ok(rooms.length > 15);
  assert.deepEqual(
    rooms.filter((room) => !named.includes(room)),
    [],
  );
});
