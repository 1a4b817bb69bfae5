import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import {
  type CollectorConfig,
  loadCollectorConfig,
  parseCollectorConfig,
} from "../../../src/config/collector_config.ts";
import { loadPublisherConfig } from "../../../src/config/publisher_config.ts";
import { describeSink } from "../../../src/config/sink_config.ts";
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

test("the defaults of a collector", () => {
  const { keys: _, sink, ...rest } = parse("key.K = aGk=\n");
  assert.equal(describeSink(sink), resolve("events.jsonl"));
  assert.deepEqual(rest, {
    listen: { host: "127.0.0.1", port: 9_800 },
    maxBodyBytes: 512_000,
    maxEvents: 100_000,
    maxPendingBytes: 67_108_864,
    maxRequests: 256,
    maxConnections: 2_048,
    tls: undefined,
    requestTimeoutMs: 30_000,
    graceMs: 10_000,
    v1: false,
    checkStructs: true,
    admin: { listen: "beside", token: undefined },
    warnings: [],
  });
});

test("each key is a source of its own and requires no ids, unless configured", () => {
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

test("a certificate needs its key, and an authority needs both", () =>
  inTemporaryDirectory((directory) => {
    const [certFile, keyFile, caFile] = ["cert.pem", "key.pem", "ca.pem"].map((name) => {
      const path = join(directory, name);
      writeFileSync(path, "");
      return path;
    });
    const key = "key.K = aGk=\n";
    const pair = `tls_cert_file = ${certFile}\ntls_key_file = ${keyFile}\n`;
    assert.deepEqual(parse(key + pair).tls, { certFile, keyFile, caFile: undefined });
    assert.deepEqual(parse(`${key}${pair}tls_ca_file = ${caFile}\n`).tls, { certFile, keyFile, caFile });
    rejects(() => parse(`${key}tls_cert_file = ${certFile}\n`), /tls_cert_file: needs tls_key_file/);
    rejects(
      () => parse(`${key}tls_ca_file = ${caFile}\n`),
      /tls_ca_file: needs tls_cert_file and tls_key_file/,
    );
    rejects(() => parse(`${key}tls_key_file = ${directory}/absent\n`), /tls_key_file: cannot read the file/);
  }));

test("every key is read the same from INI and TOML", () => {
  const expected = {
    listen: { path: resolve("c.sock") },
    maxBodyBytes: 1_024,
    maxEvents: 7,
    maxPendingBytes: 2_097_152,
    maxRequests: 9,
    maxConnections: 11,
    tls: undefined,
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
    max_connections: 11,
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

test("several keys are read by name, in upper and lower case", () => {
  assert.deepEqual(keysOf(parse("key.Main.2024 = aGk=\nKEY.next: $NEXT\n", { NEXT: "aG8=" })), {
    "Main.2024": "hi",
    next: "ho",
  });
});

test("keys and the token can be in files", () => {
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
    rejects(() => parse(both), /key\.k_file: and key\.k are both set: keep one of them/);
    rejects(
      () => parse("key.k_file = /absent\n"),
      /key\.k_file: cannot read the file "\/absent": the file does not exist/,
    );
    rejects(() => parse("key._file = /absent\n"), /key\._file: .*the name is missing/);
  });
});

test("a file without a key, a key without a name, and a key that is not Base64 are rejected", () => {
  rejects(() => parse(""), /^f\.ini: \[event-collector\] key\.NAME: expected one or more keys/);
  rejects(() => parse("key. = aGk=\n"), /^f\.ini:2: \[event-collector\] key\.: .*the name is missing$/);
  rejects(
    () => parse("key.K = hunter2!\n"),
    /^f\.ini:2: \[event-collector\] key\.k: is not Base64(?!.*hunter2)/,
  );
  rejects(() => parse("key.K =\n"), /key\.k: no key specified/);
  rejects(() => parse("key.K = $NOPE\n"), /key\.k: the environment variable NOPE is not set/);
});

test("two keys whose names differ only by case are rejected: INI cannot distinguish them", () => {
  rejects(() => parse("key.K = aGk=\nkey.k = aG8=\n"), /^f\.ini:3: .*duplicate key: keep one/);
});

test("the publisher's key in [DEFAULT] is not a key of the collector", () => {
  const text = "[DEFAULT]\nkey.name = K\nkey.secret = aHVudGVyMg==\n[event-collector]\nkey.K = aGk=\n";
  assert.deepEqual(keysOf(parseCollectorConfig(text, { env: {} })), { K: "hi" });
});

test("an unknown key gives a warning with a suggestion", () => {
  assert.deepEqual(parse("key.K = aGk=\nlisen = x\n").warnings, [
    "f.ini:3: [event-collector] lisen: unknown key, ignored: did you mean listen?",
  ]);
});

test("the body size has a range, and off is not an address", () => {
  rejects(() => parse("key.K = aGk=\nmax_body_size = 0\n"), /expected 1 to 1073741824 bytes, got 0 bytes/);
  rejects(() => parse("key.K = aGk=\nlisten = off\n"), /expected host:port/);
});

test("publisher and collector can share a file", () => {
  inTemporaryDirectory((directory) => {
    const path = join(directory, "config.ini");
    writeFileSync(path, `[event-collector]\nkey.K = aHVudGVyMiBoYXMgYSBsb25nIHNlY3JldA==\n${iniOf({})}`);
    const publisher = loadPublisherConfig(path, { env: {} });
    const collector = loadCollectorConfig(path, { env: {} });
    const { key } = collectorOf(publisher);
    assert.deepEqual(collector.keys.get(key.name)?.secret.reveal(), key.secret.reveal());
  });
});
