import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  type CollectorConfig,
  loadCollectorConfig,
  parseCollectorConfig,
} from "../../../src/config/collector_config.ts";
import { loadPublisherConfig } from "../../../src/config/publisher_config.ts";
import { describeSink } from "../../../src/config/sink_config.ts";
import { readPage } from "../../support/doc_page.ts";
import { iniOf } from "./differences.ts";
import { collectorOf, inTemporaryDirectory, rejects } from "./support.ts";

function parse(lines: string, env: Record<string, string> = {}): CollectorConfig {
  return parseCollectorConfig(`[event-collector]\n${lines}`, { file: "f.ini", env });
}

function keysOf(config: CollectorConfig): Record<string, string> {
  return Object.fromEntries(
    [...config.keys].map(([name, { secret }]) => [name, Buffer.from(secret.reveal()).toString()]),
  );
}

test("fills in the defaults", () => {
  const { keys: _, sink, ...rest } = parse("key.K = aGk=\n");
  assert.equal(describeSink(sink), "events.jsonl");
  assert.deepEqual(rest, {
    listen: { host: "127.0.0.1", port: 9_800 },
    maxBodyBytes: 512_000,
    maxEvents: 100_000,
    maxPendingBytes: 67_108_864,
    maxRequests: 256,
    requestTimeoutMs: 30_000,
    graceMs: 10_000,
    v1: false,
    checkStructs: true,
    admin: { listen: "beside", token: undefined },
    warnings: [],
  });
});

test("takes each key for a source of its own, unless told, and requires no ids", () => {
  const { keys } = parse(
    "key.a = aGk=\nkey.b = aGk=\nkey.b_source = a\nkey.B-2 = aGk=\nkey.B-2_require_ids = true\n",
  );
  const told = [...keys].map(([name, { source, requireIds }]) => [name, source, requireIds]);
  assert.deepEqual(told, [
    ["a", "a", false],
    ["b", "a", false],
    ["B-2", "B-2", true],
  ]);
  rejects(() => parse("key.a = aGk=\nkey.b_source = a\n"), /key\.b: no key specified/);
});

test("the page about the collector has every key, with its default", () => {
  const [, table = ""] = readPage("docs/collector.md").split("| key ");
  const rows = [...table.split("\n\n")[0]!.matchAll(/^\| `([\w.]+)`[^|]*\| `?([^|`]+?)`? +\|/gm)];
  const defaults = rows.filter(([, , value]) => !/^(one or more|see below|none) *$/.test(value!));
  assert.ok(defaults.length >= 10, `${defaults.length} defaults`);
  const lines = defaults.map(([, key, value]) => `${key} = ${value}\n`).join("");
  const { keys: _, ...shown } = parse(`key.K = aGk=\n${lines}`);
  const { keys: _keys, ...without } = parse("key.K = aGk=\n");
  assert.deepEqual(shown, without);
  for (const key of ["key.NAME", "admin.listen", "admin.token"])
    assert.ok(
      rows.some(([, name]) => name === key),
      key,
    );
});

test("reads every key, from INI and TOML alike", () => {
  const expected = {
    listen: { path: "./c.sock" },
    maxBodyBytes: 1_024,
    maxEvents: 7,
    maxPendingBytes: 2_097_152,
    maxRequests: 9,
    requestTimeoutMs: 500,
    graceMs: 60_000,
    v1: true,
    checkStructs: false,
    admin: { listen: { host: "::1", port: 9_801 }, token: undefined },
    warnings: [],
  };
  const settings = {
    listen: "./c.sock",
    output: "$DIR/e.jsonl",
    max_body_size: "1KiB",
    max_events_per_request: 7,
    max_pending_size: "2MiB",
    max_requests: 9,
    request_timeout: "500ms",
    grace: "1m",
    v1: true,
    check_structs: false,
    "admin.listen": "[::1]:9801",
    "key.Old": "aGk=",
  };
  const env = { DIR: "/data" };
  const lines = (format: (value: string | number | boolean) => string): string =>
    Object.entries(settings)
      .map(([key, value]) => `${key} = ${format(value)}\n`)
      .join("");
  const ini = parse(lines(String), env);
  const toml = parseCollectorConfig(`[event-collector]\n${lines((value) => JSON.stringify(value))}`, {
    format: "toml",
    env,
  });
  for (const config of [ini, toml]) {
    const { keys: _, sink, ...rest } = config;
    assert.deepEqual(rest, expected);
    assert.equal(describeSink(sink), "/data/e.jsonl");
    assert.deepEqual(keysOf(config), { Old: "hi" });
  }
});

test("holds several keys by their names, case kept", () => {
  assert.deepEqual(keysOf(parse("key.Main.2024 = aGk=\nKEY.next: $NEXT\n", { NEXT: "aG8=" })), {
    "Main.2024": "hi",
    next: "ho",
  });
});

test("reads keys and the token from files of their own", () => {
  inTemporaryDirectory((directory) => {
    const [key, token] = [join(directory, "key"), join(directory, "token")];
    writeFileSync(key, "aGk=\n");
    writeFileSync(token, "0123456789abcdef\n");
    const config = parse(
      `key.Main_file = ${key}\nkey.next = aG8=\nadmin.token_file = ${token}\nadmin.listen = off\n`,
    );
    assert.deepEqual(keysOf(config), { Main: "hi", next: "ho" });
    assert.deepEqual(config.warnings, []);
    assert.equal(config.admin.listen, undefined);
    assert.equal(Buffer.from(config.admin.token!.reveal()).toString(), "0123456789abcdef");
    const both = `key.k_file = ${key}\nkey.k = aGk=\n`;
    rejects(() => parse(both), /key\.k_file: is set, and so is key\.k: keep one of them/);
    rejects(() => parse("key.k_file = /absent\n"), /key\.k_file: cannot read .*there is no such file/);
    rejects(() => parse("key._file = /absent\n"), /key\._file: .*the name is missing/);
  });
});

test("rejects a file without a key, a key without a name, and what is not Base64", () => {
  rejects(() => parse(""), /^f\.ini: \[event-collector\] key\.NAME: expected one or more keys/);
  rejects(() => parse("key. = aGk=\n"), /^f\.ini:2: \[event-collector\] key\.: .*the name is missing$/);
  rejects(
    () => parse("key.K = hunter2!\n"),
    /^f\.ini:2: \[event-collector\] key\.k: is not Base64(?!.*hunter2)/,
  );
  rejects(() => parse("key.K =\n"), /key\.k: no key specified/);
  rejects(() => parse("key.K = $NOPE\n"), /key\.k: the environment variable in it is not set/);
});

test("rejects two keys whose names differ by case alone, which INI cannot tell apart", () => {
  rejects(() => parse("key.K = aGk=\nkey.k = aG8=\n"), /^f\.ini:3: .*stands here a second time/);
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
  rejects(() => parse("key.K = aGk=\nmax_body_size = 0\n"), /is 0 bytes: expected 1 to/);
  rejects(() => parse("key.K = aGk=\nlisten = off\n"), /expected host:port/);
});

test("reads its section from the file that the publisher reads", () => {
  inTemporaryDirectory((directory) => {
    const path = join(directory, "config.ini");
    writeFileSync(path, `[event-collector]\nkey.K = aHVudGVyMg==\n${iniOf({})}`);
    const publisher = loadPublisherConfig(path, { env: {} });
    const collector = loadCollectorConfig(path, { env: {} });
    const { key } = collectorOf(publisher);
    assert.deepEqual(collector.keys.get(key.name)?.secret.reveal(), key.secret.reveal());
  });
});
