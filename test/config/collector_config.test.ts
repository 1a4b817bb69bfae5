import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  type CollectorConfig,
  loadCollectorConfig,
  parseCollectorConfig,
} from "../../src/config/collector_config.ts";
import { loadPublisherConfig } from "../../src/config/publisher_config.ts";
import { iniOf } from "./differences.ts";
import { collectorOf, inTemporaryDirectory, refuses } from "./support.ts";

function parse(lines: string, env: Record<string, string> = {}): CollectorConfig {
  return parseCollectorConfig(`[event-collector]\n${lines}`, { file: "f.ini", env });
}

function keysOf(config: CollectorConfig): Record<string, string> {
  return Object.fromEntries(
    [...config.keys].map(([name, secret]) => [name, Buffer.from(secret.reveal()).toString()]),
  );
}

test("fills in the defaults", () => {
  const { keys: _, ...rest } = parse("key.K = aGk=\n");
  assert.deepEqual(rest, {
    listen: { host: "127.0.0.1", port: 9_800 },
    output: "events.jsonl",
    maxBodyBytes: 512_000,
    warnings: [],
  });
});

test("reads every key, from INI and TOML alike", () => {
  const expected = {
    listen: { path: "./c.sock" },
    output: "/data/e.jsonl",
    maxBodyBytes: 1_024,
    warnings: [],
  };
  const ini = parse("listen = ./c.sock\noutput = $DIR/e.jsonl\nmax_body_size = 1KiB\nkey.Old = aGk=\n", {
    DIR: "/data",
  });
  const toml = parseCollectorConfig(
    '[event-collector]\nlisten = "./c.sock"\noutput = "/data/e.jsonl"\nmax_body_size = 1024\nkey.Old = "aGk="\n',
    { format: "toml", env: {} },
  );
  for (const config of [ini, toml]) {
    const { keys: _, ...rest } = config;
    assert.deepEqual(rest, expected);
    assert.deepEqual(keysOf(config), { Old: "hi" });
  }
});

test("holds several keys by their names, case kept", () => {
  assert.deepEqual(keysOf(parse("key.Main.2024 = aGk=\nKEY.next: $NEXT\n", { NEXT: "aG8=" })), {
    "Main.2024": "hi",
    next: "ho",
  });
});

test("refuses a file without a key, a key without a name, and what is not Base64", () => {
  refuses(() => parse(""), /^f\.ini: \[event-collector\] key\.NAME: expected one or more keys/);
  refuses(() => parse("key. = aGk=\n"), /^f\.ini:2: \[event-collector\] key\.: .*the name is missing$/);
  refuses(
    () => parse("key.K = hunter2!\n"),
    /^f\.ini:2: \[event-collector\] key\.k: is not Base64(?!.*hunter2)/,
  );
  refuses(() => parse("key.K =\n"), /key\.k: no key specified/);
  refuses(() => parse("key.K = $NOPE\n"), /key\.k: the environment variable in it is not set/);
});

test("refuses two keys whose names differ by case alone, which INI cannot tell apart", () => {
  refuses(() => parse("key.K = aGk=\nkey.k = aG8=\n"), /^f\.ini:3: .*stands here a second time/);
});

test("does not take the publisher's key in [DEFAULT] for its own", () => {
  const text = "[DEFAULT]\nkey.name = K\nkey.secret = aHVudGVyMg==\n[event-collector]\nkey.K = aGk=\n";
  assert.deepEqual(keysOf(parseCollectorConfig(text, { env: {} })), { K: "hi" });
});

test("warns of unknown keys", () => {
  assert.deepEqual(parse("key.K = aGk=\nlisen = x\n").warnings, [
    "f.ini:3: [event-collector] lisen: not a known key, ignored: did you mean listen?",
  ]);
});

test("bounds the body and does not take off for an address", () => {
  refuses(() => parse("key.K = aGk=\nmax_body_size = 0\n"), /is 0 bytes: expected 1 to/);
  refuses(() => parse("key.K = aGk=\nlisten = off\n"), /expected host:port/);
});

test("reads its section from the file that the publisher reads", () => {
  inTemporaryDirectory((directory) => {
    const path = join(directory, "config.ini");
    writeFileSync(path, `[event-collector]\nkey.K = aHVudGVyMg==\n${iniOf({})}`);
    const publisher = loadPublisherConfig(path, { env: {} });
    const collector = loadCollectorConfig(path, { env: {} });
    const { key } = collectorOf(publisher);
    assert.deepEqual(collector.keys.get(key.name)?.reveal(), key.secret.reveal());
  });
});
