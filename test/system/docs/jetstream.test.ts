import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePublisherConfig } from "../../../src/config/publisher_config.ts";
import { readPage } from "../../support/doc_page.ts";
import { askedKeys } from "./asked_keys.ts";

const CONFIG = "[event-publisher:main]\ndestination = nats\nnats.servers = localhost\n";

/** The rows of the page's table of keys: the keys, and the default where that is a value. */
const ROWS = [...readPage("docs/jetstream.md").matchAll(/^\| (`nats\.[^|]+?) +\| ([^|]+?) +\|/gm)].map(
  ([, keys, value]) => ({
    keys: [...keys!.matchAll(/`([^`]+)`/g)].map(([, key]) => key!),
    value: /^`([^`]+)`$/.exec(value!)?.[1],
  }),
);

test("docs/jetstream.md has the keys that a publisher to JetStream knows, and no other", () => {
  const asked = [...askedKeys(() => parsePublisherConfig(CONFIG))].filter((key) => key.startsWith("nats."));
  assert.deepEqual(ROWS.flatMap(({ keys }) => keys).sort(), asked.sort());
});

test("the defaults of docs/jetstream.md are those of the code", () => {
  const without = parsePublisherConfig(CONFIG);
  const shown = ROWS.filter(({ value }) => value !== undefined);
  assert.ok(shown.length >= 5, `only ${shown.length} defaults were found`);
  for (const { keys, value } of shown) {
    const { warnings: _, ...config } = parsePublisherConfig(`${CONFIG}${keys[0]} = ${value}\n`);
    assert.deepEqual({ ...config, warnings: [] }, without, keys[0]);
  }
});
