import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { loadCollectorConfig } from "../../../src/config/collector_config.ts";
import { loadPublisherConfig, parsePublisherConfig } from "../../../src/config/publisher_config.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { collectorOf } from "./support.ts";

const SECRET = "aHVudGVyMiBoYXMgYSBsb25nIHNlY3JldA=="; // hunter2 has a long secret

/** A configuration of these lines, besides what is required. */
function withLines(...lines: string[]): string {
  return ["[event-publisher:main]", "collector.hostname = c.example", "key.name = K", ...lines].join("\n");
}

function load(...lines: string[]): ReturnType<typeof parsePublisherConfig> {
  return parsePublisherConfig(withLines(...lines), { file: "f.ini", env: { CREDS: "/nowhere" } });
}

function failsToLoad(lines: readonly string[], reason: RegExp): void {
  assert.throws(
    () => load(...lines),
    (error: Error) => {
      assert.ok(error instanceof ConfigurationError, String(error));
      assert.match(error.message, reason);
      assert.doesNotMatch(error.message, /hunter2|aHVudGVy/);
      return true;
    },
  );
}

test("reads the key's secret from a file, with or without a line end", () => {
  using directory = temporaryDirectory();
  for (const [name, text] of Object.entries({ plain: SECRET, unix: `${SECRET}\n`, dos: `${SECRET}\r\n` })) {
    const path = join(directory.path, name);
    writeFileSync(path, text);
    const { key } = collectorOf(load(`key.secret_file = ${path}`));
    assert.equal(Buffer.from(key.secret.reveal()).toString(), "hunter2 has a long secret");
  }
});

test("finds the file by a variable, as systemd's credentials need it", () => {
  using directory = temporaryDirectory();
  writeFileSync(join(directory.path, "key"), SECRET);
  const text = withLines("key.secret_file = $CREDENTIALS_DIRECTORY/key");
  const env = { CREDENTIALS_DIRECTORY: directory.path };
  const { key } = collectorOf(parsePublisherConfig(text, { env }));
  assert.equal(Buffer.from(key.secret.reveal()).toString(), "hunter2 has a long secret");
});

test("rejects a secret's file that cannot be one, names it, and never shows what is in it", () => {
  using directory = temporaryDirectory();
  const at = (name: string, content: string | Uint8Array): string => {
    const path = join(directory.path, name);
    writeFileSync(path, content);
    return `key.secret_file = ${path}`;
  };
  mkdirSync(join(directory.path, "directory"));
  const place = String.raw`^f\.ini:4: \[event-publisher:main\] key\.secret_file: `;
  failsToLoad(["key.secret_file = $CREDS/key"], new RegExp(`${place}cannot read .*no such file`));
  failsToLoad([`key.secret_file = ${directory.path}/directory`], new RegExp(`${place}.*it is a directory`));
  failsToLoad([at("empty", "")], new RegExp(`${place}the file ".*" is empty`));
  failsToLoad([at("newline", "\n")], new RegExp(`${place}the file ".*" is empty`));
  failsToLoad([at("binary", new Uint8Array([0, 255, 1]))], new RegExp(`${place}is not Base64`));
  failsToLoad([at("large", "A".repeat(100_000))], new RegExp(`${place}.*more than 65536 bytes`));
  failsToLoad(
    [`key.secret = ${SECRET}`, "key.secret_file = /x"],
    /key\.secret_file: is set, and so is key\.secret/,
  );
  failsToLoad([], /key\.secret: no key specified: .*or key\.secret_file$/);
});

test("takes a token for the admin routes, from the file or from a file of its own", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "token");
  writeFileSync(path, "0123456789abcdef\n");
  for (const line of ["admin.token = 0123456789abcdef", `admin.token_file = ${path}`]) {
    const { token } = load(`key.secret = ${SECRET}`, line).admin;
    assert.equal(Buffer.from(token!.reveal()).toString(), "0123456789abcdef");
  }
});

test("rejects a token that is short, or that no header can carry, and does not show it", () => {
  for (const [token, reason] of [
    ["hunter2", /admin\.token: is 7 characters long: expected 16 or more/],
    ["hunter2 hunter2 hunter2", /admin\.token: is no bearer token/],
    ["hunter2-hünter2-hunter2", /admin\.token: is no bearer token/],
  ] as const) {
    failsToLoad([`key.secret = ${SECRET}`, `admin.token = ${token}`], reason);
  }
});

test("demands a token where other machines reach the admin routes", () => {
  const key = `key.secret = ${SECRET}`;
  for (const listen of ["0.0.0.0:9900", "[::]:9900", "10.0.0.1:9900", "myhost:9900"]) {
    failsToLoad([key, `admin.listen = ${listen}`], /reachable from other machines: set admin\.token or/);
    load(key, `admin.listen = ${listen}`, "admin.token = 0123456789abcdef");
  }
  for (const listen of [
    "127.0.0.1:9900",
    "127.8.0.1:9900",
    "localhost:9900",
    "[::1]:9900",
    "./a.sock",
    "off",
  ])
    load(key, `admin.listen = ${listen}`);
});

test("warns of a file with a secret in it that others than its owner can read", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "config.ini");
  const lines = [`[event-collector]\nkey.K = ${SECRET}`, withLines(`key.secret = ${SECRET}`)];
  writeFileSync(path, lines.join("\n"));
  const warning = (mode: string): string =>
    `${path}: holds a secret, and others than its owner can read it (mode ${mode}): chmod 600 ${path}`;

  for (const [mode, shown] of [
    [0o644, "0644"],
    [0o640, "0640"],
    [0o604, "0604"],
  ] as const) {
    chmodSync(path, mode);
    assert.deepEqual(loadPublisherConfig(path).warnings, [warning(shown)]);
    assert.deepEqual(loadCollectorConfig(path).warnings, [warning(shown)]);
  }
  chmodSync(path, 0o600);
  assert.deepEqual(loadPublisherConfig(path).warnings, []);
});

test("does not warn of a file whose secrets stand elsewhere", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "config.ini");
  writeFileSync(path, withLines("key.secret = $SECRET", `admin.token = \${TOKEN}`));
  chmodSync(path, 0o644);
  const env = { SECRET, TOKEN: "0123456789abcdef" };
  assert.deepEqual(loadPublisherConfig(path, { env }).warnings, []);
});

test("does not warn of the group of a process that can read the file only through its group", {
  skip: process.getuid?.() !== 0 && "only root can give the file to somebody else",
}, async () => {
  const { chownSync } = await import("node:fs");
  using directory = temporaryDirectory();
  const path = join(directory.path, "config.ini");
  writeFileSync(path, withLines(`key.secret = ${SECRET}`));
  chownSync(path, 12_345, 0);
  chmodSync(path, 0o640);
  assert.deepEqual(loadPublisherConfig(path).warnings, []);
});
