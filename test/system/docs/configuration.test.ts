import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCollectorConfig } from "../../../src/config/collector_config.ts";
import { parsePublisherConfig } from "../../../src/config/publisher_config.ts";
import { PAGES, readBlocks, readPage } from "../../support/doc_page.ts";
import { askedKeys } from "./asked_keys.ts";
import { reasonNotRun } from "./not_run.ts";

const REQUIRED =
  "collector.hostname = localhost\nkey.name = a\nkey.secret = c2VjcmV0\ncollector.scheme = http\n";
const SECTION = "[event-publisher:main]\n";

/** The keys of the README's table, with their defaults where those are values. */
function tableOfKeys(): Map<string, string | undefined> {
  const [, section = ""] = readPage("README.md").split("\n## Configuration\n");
  const rows = [...section.split("\n## ")[0]!.matchAll(/^\| (`[\w.]+`(?: or `[\w.]+`)?) +\| ([^|]+) \|/gm)];
  return new Map(
    rows.flatMap(([, keys, value]) => {
      const shown = /^`([^`]+)` *$/.exec(value!)?.[1];
      return [...keys!.matchAll(/`([^`]+)`/g)].map(([, key]) => [key!, shown] as const);
    }),
  );
}

test("the README's table has the keys that the publisher knows, and no other", () => {
  assert.deepEqual(
    [...tableOfKeys().keys()].sort(),
    [...askedKeys(() => parsePublisherConfig(SECTION + REQUIRED))].sort(),
  );
});

test("the README's defaults are those of the code", () => {
  const without = parsePublisherConfig(SECTION + REQUIRED);
  const shown = [...tableOfKeys()].filter(([key, value]) => value !== undefined && !REQUIRED.includes(key));
  assert.ok(shown.length > 12, `only ${shown.length} defaults were found`);
  for (const [key, value] of shown)
    assert.deepEqual(parsePublisherConfig(`${SECTION}${REQUIRED}${key} = ${value}\n`), without, key);
});

for (const block of PAGES.flatMap(readBlocks).filter(
  (block) => ["ini", "toml"].includes(block.language) && reasonNotRun(block) === undefined,
))
  test(`the configuration in ${block.page}, line ${block.line}, is read without a warning`, () => {
    const format = block.language as "ini" | "toml";
    const env = { EVENTS_KEY_SECRET: "c2VjcmV0" };
    const isCollectors = !block.text.includes("event-publisher");
    const parse = isCollectors ? parseCollectorConfig : parsePublisherConfig;
    assert.deepEqual(parse(block.text, { format, env }).warnings, []);
  });
