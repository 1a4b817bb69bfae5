import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { inspect } from "node:util";
import { loadCollectorConfig } from "../../../src/config/collector_config.ts";
import { parseSecret, Secret } from "../../../src/config/credentials.ts";
import { loadPublisherConfig, parsePublisherConfig } from "../../../src/config/publisher_config.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import fc from "../../support/fast_check.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { collectorOf } from "./support.ts";

const reveal = (text: string): string => Buffer.from(parseSecret(text).reveal()).toString("latin1");

test("Base64 is decoded", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1 }), (bytes) => {
      assert.deepEqual(parseSecret(Buffer.from(bytes).toString("base64")).reveal(), new Uint8Array(bytes));
    }),
  );
});

test("white space and extra padding do not change a key", () => {
  for (const text of ["aHVu dGVy Mg==", "aHVu\n\tdGVyMg==\n", "aHVudGVyMg======", "aHVudGVyMg= ="]) {
    assert.equal(reveal(text), "hunter2");
  }
});

for (const [what, text, message] of [
  ["an empty value", "", /no key specified/],
  ["white space", " \n", /no key specified/],
  ["padding alone", "====", /no key specified/],
  ["the URL-safe alphabet", "-_-_", /replace - by \+ and _ by \//],
  ["junk between the characters", "a!H@V#u$d%G&V*yMg==", /characters other than/],
  ["letters beyond ASCII", "éééé", /characters other than/],
  ["missing padding", "aHVudGVyMg", /2 = are missing at the end/],
  ["padding half missing", "aHVudGVyMg=", /2 = are missing at the end/],
  ["a length that no bytes have", "abcde", /5 characters cannot be complete/],
  ["text after the padding", "aGk=aGk=", /there is text after the = padding/],
] as const) {
  test(`${what} is rejected and not shown`, () => {
    assert.throws(
      () => parseSecret(text),
      (error) =>
        error instanceof ConfigurationError &&
        message.test(error.message) &&
        !error.message.includes(text || "\0"),
    );
  });
}

test("a secret is redacted however it is shown", () => {
  const secret = parseSecret("aHVudGVyMg==");
  const shown = [
    `${secret}`,
    JSON.stringify({ secret }),
    inspect({ secret }),
    inspect(secret, { showHidden: true }),
  ];
  for (const text of shown) {
    assert.match(text, /\[redacted\]/);
    assert.doesNotMatch(text, /hunter2|aHVu|104/);
  }
});

test("a secret cannot be changed by the bytes that went in or came out", () => {
  const bytes = new Uint8Array([1, 2, 3]);
  const secret = new Secret(bytes);
  bytes.fill(0);
  secret.reveal().fill(0);
  assert.deepEqual(secret.reveal(), new Uint8Array([1, 2, 3]));
});

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

test("the key can be in a file, with or without a line end", () => {
  using directory = temporaryDirectory();
  for (const [name, text] of Object.entries({ plain: SECRET, unix: `${SECRET}\n`, dos: `${SECRET}\r\n` })) {
    const path = join(directory.path, name);
    writeFileSync(path, text);
    const { key } = collectorOf(load(`key.secret_file = ${path}`));
    assert.equal(Buffer.from(key.secret.reveal()).toString(), "hunter2 has a long secret");
  }
});

test("the path of the file may have a variable, as for systemd's credentials", () => {
  using directory = temporaryDirectory();
  writeFileSync(join(directory.path, "key"), SECRET);
  const text = withLines("key.secret_file = $CREDENTIALS_DIRECTORY/key");
  const env = { CREDENTIALS_DIRECTORY: directory.path };
  const { key } = collectorOf(parsePublisherConfig(text, { env }));
  assert.equal(Buffer.from(key.secret.reveal()).toString(), "hunter2 has a long secret");
});

test("a named pipe and a directory are no files to read: they would block the process, at a reload too", () => {
  using directory = temporaryDirectory();
  const pipe = join(directory.path, "pipe");
  assert.equal(spawnSync("mkfifo", [pipe]).status, 0);
  for (const [path, reason] of [
    [pipe, /named pipe: name a regular file/],
    [directory.path, /it is a directory/],
  ] as const) {
    failsToLoad([`key.secret_file = ${path}`], reason);
    failsToLoad([`key.secret = ${SECRET}`, `collector.tls_ca_file = ${path}`], reason);
    assert.throws(() => loadPublisherConfig(path), reason);
  }
});

test("a file that cannot be a secret is rejected by name, and its contents are never shown", () => {
  using directory = temporaryDirectory();
  const at = (name: string, content: string | Uint8Array): string => {
    const path = join(directory.path, name);
    writeFileSync(path, content);
    return `key.secret_file = ${path}`;
  };
  mkdirSync(join(directory.path, "directory"));
  const place = String.raw`^f\.ini:4: \[event-publisher:main\] key\.secret_file: `;
  failsToLoad(
    ["key.secret_file = $CREDS/key"],
    new RegExp(`${place}cannot read .*: the directory /nowhere does not exist`),
  );
  failsToLoad([`key.secret_file = ${directory.path}/directory`], new RegExp(`${place}.*it is a directory`));
  failsToLoad([at("empty", "")], new RegExp(`${place}the file ".*" is empty`));
  failsToLoad([at("newline", "\n")], new RegExp(`${place}the file ".*" is empty`));
  failsToLoad([at("binary", new Uint8Array([0, 255, 1]))], new RegExp(`${place}is not Base64`));
  failsToLoad([at("large", "A".repeat(100_000))], new RegExp(`${place}.*more than 65536 bytes`));
  failsToLoad(
    [`key.secret = ${SECRET}`, "key.secret_file = /x"],
    /key\.secret_file: and key\.secret are both set/,
  );
  failsToLoad([], /key\.secret: no key specified: .*or key\.secret_file$/);
});

test("the admin token can be in the configuration or in a file", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "token");
  writeFileSync(path, "0123456789abcdef\n");
  for (const line of ["admin.token = 0123456789abcdef", `admin.token_file = ${path}`]) {
    const { token } = load(`key.secret = ${SECRET}`, line).admin;
    assert.equal(Buffer.from(token!.reveal()).toString(), "0123456789abcdef");
  }
});

test("a short token, or one that no header can carry, is rejected and not shown", () => {
  for (const [token, reason] of [
    ["hunter2", /admin\.token: expected 16 characters or more, got 7: make one with/],
    ["hunter2 hunter2 hunter2", /admin\.token: is not a bearer token/],
    ["hunter2-hünter2-hunter2", /admin\.token: is not a bearer token/],
  ] as const) {
    failsToLoad([`key.secret = ${SECRET}`, `admin.token = ${token}`], reason);
  }
});

test("admin routes for other machines need a token", () => {
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

test("a file with a secret that other users can read gives a warning", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "config.ini");
  const lines = [`[event-collector]\nkey.K = ${SECRET}`, withLines(`key.secret = ${SECRET}`)];
  writeFileSync(path, lines.join("\n"));
  const warning = (mode: string): string =>
    `${path}: holds a secret, and users other than its owner (uid ${process.getuid?.()}) can read it (mode ${mode}): chmod 600 ${path}`;

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

test("a file without the secrets themselves gives no warning", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "config.ini");
  writeFileSync(path, withLines("key.secret = $SECRET", `admin.token = \${TOKEN}`));
  chmodSync(path, 0o644);
  const env = { SECRET, TOKEN: "0123456789abcdef" };
  assert.deepEqual(loadPublisherConfig(path, { env }).warnings, []);
});

test("a process that reads the file by its group gets no warning about the group", {
  skip: process.getuid?.() !== 0 && "only root can change the owner",
}, async () => {
  const { chownSync } = await import("node:fs");
  using directory = temporaryDirectory();
  const path = join(directory.path, "config.ini");
  writeFileSync(path, withLines(`key.secret = ${SECRET}`));
  chownSync(path, 12_345, 0);
  chmodSync(path, 0o640);
  assert.deepEqual(loadPublisherConfig(path).warnings, []);
});
