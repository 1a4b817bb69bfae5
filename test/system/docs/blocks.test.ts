import assert from "node:assert/strict";
import { test } from "node:test";
import { type DocBlock, PAGES, readBlocks } from "../../support/doc_page.ts";
import { notRun, reasonNotRun } from "./not_run.ts";
import { isTerminal } from "./stage.ts";

/** The pages whose TypeScript is compiled and run, by this folder's tests. */
const WITH_PROGRAMS = [
  "README.md",
  "docs/http.md",
  "docs/production.md",
  "docs/scale.md",
  "docs/service.md",
  "docs/testing.md",
  "docs/typed-events.md",
  "docs/tutorial.md",
];

const blocks = PAGES.flatMap(readBlocks);

test("every block of a page is run or checked by a test, or is listed with the reason why not", () => {
  assert.ok(blocks.length > 15, `only ${blocks.length} blocks were found`);
  const left = blocks.filter((block) => !isChecked(block) && reasonNotRun(block) === undefined);
  assert.deepEqual(left.map(placeOf), []);
});

test("the list of blocks that are not run has none that is gone", () => {
  const there = blocks.map(({ page, text }) => `${page}: ${text.split("\n")[0]}`);
  assert.deepEqual(
    notRun().filter((entry) => !there.includes(entry)),
    [],
  );
});

function isChecked(block: DocBlock): boolean {
  if (isTerminal(block)) return true; // commands.test.ts
  if (["ini", "toml"].includes(block.language)) return true; // configuration.test.ts
  if (block.language === "nginx") return true; // test/system/browser/proxies.test.ts
  return ["ts", "text", "thrift"].includes(block.language) && WITH_PROGRAMS.includes(block.page);
}

function placeOf({ page, line, language }: DocBlock): string {
  return `${page}:${line} (${language})`;
}
