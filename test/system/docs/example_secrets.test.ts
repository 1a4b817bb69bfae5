import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseCollectorConfig } from "../../../src/config/collector_config.ts";
import { isExample, parseSecret, Secret } from "../../../src/config/credentials.ts";
import { parsePublisherConfig } from "../../../src/config/publisher_config.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const KINDS = new Set([".md", ".ini", ".toml", ".yaml", ".yml", ".ts", ".service", ".env", ".sh", ""]);

/** A secret in a text: a key in Base64, or the text itself. Variables and placeholders in capitals or dots are not secrets. */
const IN_BASE64 = [
  /^[#\s]*key(?:\.(?!name\b)[\w-]+)?\s*[=:]\s*["']?([A-Za-z0-9+/]{8,}=*)["']?\s*$/gm,
  /\bkey\.(?!name\b)[\w-]+ = ([A-Za-z0-9+/]{8,}=*)/g,
];
const AS_TEXT = [
  /^[#\s]*(?:admin\.)?token\s*[=:]\s*["']?([\w.~+/-]{8,}=*)["']?\s*$/gm,
  /-hmac "([^"$]+)"/g,
  /\b(?:secret|token): (?:Buffer\.from\()?"([^"]+)"/g,
];

function textFiles(): [path: string, text: string][] {
  const paths = ["docs", "deploy", "examples"].flatMap((directory) =>
    readdirSync(join(ROOT, directory), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.includes("node_modules"))
      .filter((entry) => KINDS.has(extname(entry.name)))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  return [join(ROOT, "README.md"), ...paths].map((path) => [path, readFileSync(path, "utf8")]);
}

function secretsIn(text: string): Secret[] {
  const found = (patterns: RegExp[]) =>
    patterns.flatMap((pattern) => [...text.matchAll(pattern)].map(([, secret]) => secret!));
  const isPlaceholder = (secret: string) => /^[A-Z_.]+$/.test(secret);
  const isBase64 = (secret: string) => secret.length % 4 === 0;
  return [
    ...found(IN_BASE64).filter(isBase64).map(parseSecret),
    ...found(AS_TEXT)
      .filter((secret) => !isPlaceholder(secret))
      .map((secret) => new Secret(Buffer.from(secret))),
  ];
}

test("every secret of README, docs, deploy and examples is a known example", () => {
  let count = 0;
  for (const [path, text] of textFiles())
    for (const secret of secretsIn(text)) {
      const shown = Buffer.from(secret.reveal()).toString();
      assert.ok(isExample(secret), `${path} has "${shown}": add it to src/config/credentials.ts`);
      count++;
    }
  assert.ok(count >= 10, `only ${count} were found`);
});

const EXAMPLE = "ZXhhbXBsZSBzZWNyZXQsIG5vdCBmb3IgcHJvZHVjdGlvbiE=";
const TOKEN = "an-example-token-not-for-production";

test("an example secret works on this machine only", () => {
  const publisher = (host: string, admin: string) =>
    parsePublisherConfig(
      `[event-publisher:main]\ncollector.hostname = ${host}\nkey.name = k\nkey.secret = ${EXAMPLE}\n${admin}`,
    );
  const collector = (listen: string, more = "") =>
    parseCollectorConfig(`[event-collector]\nlisten = ${listen}\nkey.k = ${EXAMPLE}\n${more}`);
  for (const host of ["localhost", "127.0.0.1:9800", "[::1]", "a.localhost"]) publisher(host, "");
  for (const listen of ["127.0.0.1:0", "[::1]:0", "localhost:1", "./c.sock"]) collector(listen);
  publisher("localhost", `admin.listen = 127.0.0.1:1\nadmin.token = ${TOKEN}`);

  const rejected = (key: string) => ({
    name: "ConfigurationError",
    message: new RegExp(`${key}: is an example .*openssl rand -base64 32`),
  });
  for (const host of ["events.example.com", "10.0.0.1", "collector", "127.0.0.1.example.com"])
    assert.throws(() => publisher(host, ""), rejected("key.secret"), host);
  for (const listen of ["0.0.0.0:0", "[::]:0", "10.0.0.1:0", "collector:9800"])
    assert.throws(() => collector(listen), rejected("key.k"), listen);
  for (const read of [
    () => publisher("localhost", `admin.listen = 0.0.0.0:1\nadmin.token = ${TOKEN}`),
    () => collector("127.0.0.1:0", `admin.listen = 0.0.0.0:1\nadmin.token = ${TOKEN}`),
  ])
    assert.throws(read, rejected("admin.token"));
});

test("warns of a secret that can be guessed if it is used for other machines", () => {
  const warnings = (secret: Uint8Array, host: string) =>
    parsePublisherConfig(
      `[event-publisher:main]\ncollector.hostname = ${host}\nkey.name = k\nkey.secret = ${Buffer.from(secret).toString("base64")}\n`,
    ).warnings;
  const strong = Buffer.from("0123456789abcdef");
  assert.deepEqual(warnings(strong, "events.example.com"), []);
  for (const weak of [strong.subarray(1), Buffer.alloc(32, 7)]) {
    assert.match(warnings(weak, "events.example.com").join(), /key\.secret: can be guessed/);
    assert.deepEqual(warnings(weak, "localhost"), []);
  }
});
