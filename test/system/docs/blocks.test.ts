import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type DocBlock, PAGES, readBlocks } from "../../support/doc_page.ts";
import { ROOT } from "../../support/project.ts";
import { notRun, PROGRAM_PAGES, reasonNotRun } from "./not_run.ts";
import { isTerminal } from "./stage.ts";

const blocks = PAGES.flatMap(readBlocks);

test("every block of a page is run or checked by a test, or listed with a reason", () => {
  assert.ok(blocks.length > 15, `only ${blocks.length} blocks were found`);
  const left = blocks.filter((block) => !isChecked(block) && reasonNotRun(block) === undefined);
  assert.deepEqual(left.map(placeOf), []);
});

test("the list of blocks that are not run has only existing blocks", () => {
  const there = blocks.map(({ page, text }) => `${page}: ${text.split("\n")[0]}`);
  assert.deepEqual(
    notRun().filter((entry) => !there.includes(entry)),
    [],
  );
});

test("the reasons name tests that exist", () => {
  const named = blocks.flatMap((block) => reasonNotRun(block)?.match(/\btest\/[\w./]+/g) ?? []);
  assert.ok(named.length > 10, `only ${named.length} were found`);
  assert.deepEqual(
    named.filter((path) => !existsSync(join(ROOT, path))),
    [],
  );
});

function isChecked(block: DocBlock): boolean {
  if (isTerminal(block)) return true; // commands.test.ts
  if (["ini", "toml"].includes(block.language)) return true; // configuration.test.ts
  if (block.page === "docs/postgres.md" && block.language === "sql") return true; // postgres.test.ts
  if (block.language === "nginx") return true; // test/system/browser/proxies.test.ts
  if (block.language === "ts") return true; // docstrings.test.ts compiles what is not a program
  return ["text", "thrift"].includes(block.language) && PROGRAM_PAGES.includes(block.page);
}

function placeOf({ page, line, language }: DocBlock): string {
  return `${page}:${line} (${language})`;
}
