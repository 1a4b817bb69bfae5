import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseCollectorConfig } from "../../../src/config/collector_config.ts";
import { parsePublisherConfig } from "../../../src/config/publisher_config.ts";
import { PAGES, readBlocks, readPage } from "../../support/doc_page.ts";
import { ROOT } from "../../support/project.ts";
import { reasonNotRun } from "./not_run.ts";

const REQUIRED =
  "collector.hostname = localhost\nkey.name = a\nkey.secret = c2VjcmV0\ncollector.scheme = http\n";
const SECTION = "[event-publisher:main]\n";

for (const block of PAGES.flatMap(readBlocks).filter(
  (block) => ["ini", "toml"].includes(block.language) && reasonNotRun(block) === undefined,
))
  test(`the configuration in ${block.page}, line ${block.line}, is read without a warning`, () => {
    const format = block.language as "ini" | "toml";
    const secret = "aHVudGVyMiBoYXMgYSBsb25nIHNlY3JldA==";
    const env = { EVENTS_KEY_SECRET: secret, EVENTS_TOKEN: secret, DB_PASSWORD: "hunter2" };
    const publishers = [...block.text.matchAll(/^\[event-publisher[:.](\w+)\]/gm)];
    for (const [, queueName] of publishers)
      assert.deepEqual(parsePublisherConfig(block.text, { format, env, queueName: queueName! }).warnings, []);
    if (/^\[event-collector\]/m.test(block.text))
      assert.deepEqual(parseCollectorConfig(block.text, { format, env }).warnings, []);
    else assert.ok(publishers.length > 0);
  });

const ROWS = rowsOf(readPage("docs/configuration.md"));

/** The rows of keys: the keys of each, and its default. */
function rowsOf(page: string): { keys: string[]; fallback: string }[] {
  return [...page.matchAll(/^\| (`[a-z][^|]*?) +\| (?:[^|]*) \| ([^|]*?) +\| (?:[^|]*) \|/gm)].map(
    ([, keys, fallback]) => ({
      keys: [...keys!.matchAll(/`([^`]+)`/g)].map(([, key]) => key!),
      fallback: fallback!,
    }),
  );
}

test("has every key that the sources of the configuration read", () => {
  const sources = readdirSync(join(ROOT, "src/config")).map((name) =>
    readFileSync(join(ROOT, "src/config", name), "utf8"),
  );
  const read = sources.flatMap((text) => [
    ...text.matchAll(/(?:\.read|\.has|\breadSecret)(?:<[^>]*>)?\(\s*(?:section,\s*)?"([\w.]+)"/g),
  ]);
  assert.ok(read.length > 20, `only ${read.length} keys were found`);
  const there = ROWS.flatMap(({ keys }) => keys);
  assert.deepEqual(
    read.map(([, key]) => key!).filter((key) => !there.includes(key)),
    [],
  );
  for (const key of ["key.NAME", "http.header.NAME"]) assert.ok(there.includes(key), key); // with names of their own
});

test("has the publisher's defaults as the code has them", () => {
  const { warnings: _, ...without } = parsePublisherConfig(SECTION + REQUIRED);
  const shown = ROWS.flatMap(({ keys, fallback }) => {
    const value = writtenValue(fallback);
    return keys.length === 1 && keys[0]!.match(/\.|_/) && value !== undefined
      ? [[keys[0]!, value] as const]
      : [];
  });
  assert.ok(shown.length > 10, `only ${shown.length} defaults were found`);
  for (const [key, value] of shown) {
    const { warnings: __, ...set } = parsePublisherConfig(`${SECTION}${REQUIRED}${key} = ${value}\n`);
    assert.deepEqual(set, without, `${key} = ${value}`);
  }
});

test("has the collector's defaults as the code has them", () => {
  const collectors = rowsOf(readPage("docs/configuration.md").split("\n## The collector\n")[1]!);
  const key = "[event-collector]\nkey.a = c2VjcmV0\n";
  const { warnings: _, ...without } = parseCollectorConfig(key);
  const shown = collectors.flatMap(({ keys, fallback }) => {
    const value = writtenValue(fallback);
    const isOfSink = /^(?:output|nats)\b/.test(keys[0]!);
    return keys.length === 1 && !isOfSink && value !== undefined ? [[keys[0]!, value] as const] : [];
  });
  assert.ok(shown.length >= 8, `only ${shown.length} defaults were found`);
  for (const [name, value] of shown) {
    const { warnings: __, ...set } = parseCollectorConfig(`${key}${name} = ${value}\n`);
    assert.deepEqual(set, without, `${name} = ${value}`);
  }
});

/** A default as in a file, if it is a value: `512000` for `512,000`, `10s` for `10 s, since ...`. */
function writtenValue(fallback: string): string | undefined {
  const [first = ""] = fallback.replace(/(?<=\d),(?=\d)/g, "").split(",");
  const text = first.replaceAll("`", "").replace(/(?<=\d) (?=[a-zA-Z%])/, "");
  return /^(?:[\w.:%]*\d[\w.:%]*|true|false)$/.test(text) ? text : undefined;
}
