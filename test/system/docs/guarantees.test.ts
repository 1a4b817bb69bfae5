import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readPage } from "../../support/doc_page.ts";
import { ROOT } from "../../support/project.ts";

const page = readPage("GUARANTEES.md");
/** The cells of each promise, without the headings of groups. */
const promises = ["## When something fails", "## When someone answers"].flatMap((heading) =>
  page
    .split(`\n${heading}\n`)[1]!
    .split("\n## ")[0]!
    .split("\n")
    .filter((line) => /^\| (?!---|promise|what answers|\*\*)/.test(line))
    .map((line) => line.slice(1, -1).split(" | ")),
);
const FAULTS = [...page.split("\n## The fault suite\n")[1]!.matchAll(/^\| ([^|]+?) +\| +\d/gm)].map(
  ([, fault]) => fault!,
);

test("each promise of GUARANTEES.md names a test file or a row of the fault suite", () => {
  assert.ok(promises.length > 50, `only ${promises.length} promises were found`);
  const without = promises.filter((cells) => !/`(?:unit|runtime|system)\/[\w/]+`|F "/.test(cells.at(-1)!));
  assert.deepEqual(without, []);
});

test("each test that GUARANTEES.md names exists", () => {
  const named = [...page.matchAll(/`((?:unit|runtime|system)\/[\w/]+)`/g)].map(([, name]) => name!);
  assert.ok(named.length > 70, `only ${named.length} names were found`);
  assert.deepEqual(
    named.filter((name) => !existsSync(join(ROOT, "test", `${name}.test.ts`))),
    [],
  );
});

test("each fault that GUARANTEES.md names is a row of its table, or the one of JetStream", () => {
  const named = [...page.matchAll(/F "([^".]+)"/g)].map(([, fault]) => fault!);
  assert.ok(named.length > 15 && FAULTS.length > 15);
  assert.deepEqual(
    named.filter((name) => name !== "JetStream" && !FAULTS.some((fault) => fault.includes(name))),
    [],
  );
});
