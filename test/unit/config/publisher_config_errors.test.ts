import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import {
  describePublisherConfig,
  loadPublisherConfig,
  parsePublisherConfig,
} from "../../../src/config/publisher_config.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import fc from "../../support/fast_check.ts";
import { MINIMAL } from "./differences.ts";
import { collectorOf, EVERY_SETTING, inTemporaryDirectory, rejects, withSettings } from "./support.ts";

const SECRET = MINIMAL["key.secret"]!;

test("an error in TOML names file, section and key", () => {
  const toml = '[event-publisher.main]\ncollector.hostname = "h"\nkey = { name = "K", secret = [1] }\n';
  rejects(
    () => parsePublisherConfig(toml, { format: "toml", file: "f.toml", env: {} }),
    /^f\.toml: \[event-publisher\.main\] key\.secret: expected a string, number or boolean$/,
  );
});

test("a missing section is an error that lists the existing ones", () => {
  const reject = (text: string, message: RegExp, format: "ini" | "toml" = "ini") =>
    rejects(() => parsePublisherConfig(text, { format, file: "f", queueName: "v2", env: {} }), message);
  reject("", /^f: \[event-publisher:v2\] the section is missing: the file has no sections$/);
  reject("[a]\n[ event-publisher:v2 ]\n", /the file has \[a\], \[ event-publisher:v2 \]$/);
  reject(Array.from({ length: 20 }, (_, i) => `[s${i}]\n`).join(""), /\[s9\], \.\.\.$/);
  reject(
    "[a]\n[event-publisher.main]\n",
    /^f: \[event-publisher\.v2\] .*the file has \[event-publisher\.main\], \[a\]; name the queue with --queue-name/,
    "toml",
  );
});

test("an error in INI names file, line, section and key", () => {
  rejects(
    () => withSettings({ "collector.timeout": "10" }),
    /^f\.ini:5: \[event-publisher:main\] collector\.timeout: expected a duration with its unit, such as 10s or 10ms, got "10"$/,
  );
});

test("numbers have ranges", () => {
  const cases: [string, string, RegExp][] = [
    [
      "max_queue_size",
      "1_000_000_000_001",
      /expected an integer from 1 to 1000000000000, got "1_000_000_000_001"$/,
    ],
    ["publisher.concurrency", "0", /expected an integer from 1 to 256, got "0"$/],
    ["publisher.concurrency", "257", /expected an integer from 1 to 256, got "257"$/],
    ["collector.timeout", "0s", /expected 1 to 86400000ms, got 0ms$/],
    ["publisher.grace", "25h", /expected 0 to 86400000ms, got 90000000ms$/],
    ["batch.max_bytes", "100kB", /expected 102428 to 512000 bytes, got 100000 bytes$/],
    ["batch.max_bytes", "1MB", /expected 102428 to 512000 bytes, got 1000000 bytes$/],
  ];
  for (const [key, value, message] of cases) rejects(() => withSettings({ [key]: value }), message);
});

test("an unset variable is rejected by name, except inside a secret: it could be part of it", () => {
  rejects(() => withSettings({ "queue.directory": "$NOPE/x" }), /the environment variable NOPE is not set/);
  rejects(
    () => withSettings({ "key.secret": "pa$SWORD" }),
    /^f\.ini:4: (?!.*SWORD).*an environment variable in the value is not set$/,
  );
  for (const secret of ["$NOPE", `\${NOPE}`])
    rejects(
      () => withSettings({ "key.secret": secret }),
      /^f\.ini:4: .*the environment variable NOPE is not set$/,
    );
});

test("an unset variable in a name is used as written, as in baseplate.py, with a warning", () => {
  const config = withSettings({ "key.name": "a$$b", "metrics.namespace": "$NS" });
  assert.equal(collectorOf(config).key.name, "a$$b");
  assert.deepEqual(config.warnings, [
    "f.ini:3: [event-publisher:main] key.name: the environment variable b is not set: the value is used as written",
    "f.ini:5: [event-publisher:main] metrics.namespace: the environment variable NS is not set: the value is used as written",
  ]);
});

test("the error about a missing key suggests the misspelt one", () => {
  const file = (format: "ini" | "toml", text: string) => () =>
    parsePublisherConfig(text, { format, file: "f", env: {} });
  rejects(
    file("ini", `[event-publisher:main]\ncollector.hostname = c\nkey.name = K\nkey.secert = ${SECRET}\n`),
    /^f: \[event-publisher:main\] key\.secret: no key specified: .*; did you mean the key key\.secert in line 4\?$/,
  );
  rejects(
    file("toml", '[event-publisher.main]\ncolector.hostname = "c"\n'),
    /^f: .* collector\.hostname: no value specified; did you mean the key colector\.hostname\?$/,
  );
  rejects(file("ini", "[event-publisher:main]\ncollector.hostname = c\n"), /key\.name: no value specified$/);
});

test("unknown keys give warnings with a suggestion", () => {
  assert.deepEqual(withSettings({ "collector.hostnam": "x", "something.else": "y" }).warnings, [
    "f.ini:5: [event-publisher:main] collector.hostnam: unknown key, ignored: did you mean collector.hostname?",
    "f.ini:6: [event-publisher:main] something.else: unknown key, ignored",
  ]);
});

test("the end of a secret that was wrapped without an indent is not shown", () => {
  const text =
    "[event-publisher:main]\ncollector.hostname = localhost\nkey.name = K\nkey.secret = aHVu\ndGVyMg==\n";
  assert.deepEqual(parsePublisherConfig(text, { file: "f.ini", env: {} }).warnings, [
    "f.ini:5: [event-publisher:main] unknown key, ignored; to continue the value above, indent the line",
  ]);
});

test("plain http to another machine gives a warning", () => {
  const warnings = (hostname: string, scheme: string) =>
    withSettings({ "collector.hostname": hostname, "collector.scheme": scheme }).warnings.length;
  for (const host of ["c.example", "10.0.0.1:80", "127.example", "localhost.example"]) {
    assert.equal(warnings(host, "http"), 1, host);
    assert.equal(warnings(host, "https"), 0, host);
  }
  for (const host of [
    "localhost",
    "LOCALHOST:9800/x",
    "a.localhost",
    "127.0.0.1:80",
    "127.8.0.1",
    "[::1]:80",
  ]) {
    assert.equal(warnings(host, "http"), 0, host);
  }
});

test("a rejected hostname is never shown: it could hold a password", () => {
  for (const hostname of ["u:hunter2@h", "h/?t=hunter2", "https://u:hunter2@h", "h hunter2", "h\\hunter2"]) {
    rejects(
      () => withSettings({ "collector.hostname": hostname }),
      /^(?!.*hunter2).*expected host\[:port\]\[\/path\]/,
    );
  }
});

test("the secret is not shown however the configuration is printed", () => {
  const config = withSettings({});
  for (const text of [
    inspect(config, { depth: 9 }),
    JSON.stringify(config),
    JSON.stringify(describePublisherConfig(config)),
  ]) {
    assert.doesNotMatch(text, /hunter2|aHVu/);
  }
});

test("an unreadable file is rejected with the reason", () => {
  inTemporaryDirectory((directory) => {
    const missing = join(directory, "missing.ini");
    const binary = join(directory, "binary.ini");
    writeFileSync(binary, new Uint8Array([0x5b, 0xff, 0x5d]));
    rejects(
      () => loadPublisherConfig(missing),
      /missing\.ini: cannot read the configuration: the file does not exist$/,
    );
    rejects(() => loadPublisherConfig(directory), /cannot read the configuration: it is a directory$/);
    rejects(
      () => loadPublisherConfig(join(binary, "x")),
      /cannot read the configuration: .*binary\.ini is not a directory$/,
    );
    rejects(() => loadPublisherConfig(binary), /binary\.ini: the configuration is not UTF-8 text$/);
  });
});

const key = fc.constantFrom(...Object.keys({ ...MINIMAL, ...EVERY_SETTING }), "DEFAULT", "x");
const value = fc.oneof(
  fc.constantFrom(
    ...Object.values({ ...MINIMAL, ...EVERY_SETTING }),
    "$HOST",
    "$NOPE",
    "off",
    "",
    "\n  x",
    '"q"',
  ),
  fc.string({ unit: "binary", maxLength: 8 }),
);
const piece = fc.oneof(
  fc.constantFrom("[event-publisher:main]\n", "[event-publisher.main]\n", "[DEFAULT]\n", "\n", "\ufeff"),
  fc
    .tuple(key, fc.constantFrom("=", ":", " = "), value, fc.constantFrom("\n", "\r\n", ""))
    .map((parts) => parts.join("")),
  fc.tuple(key, value).map(([name, text]) => `${name} = ${JSON.stringify(text)}\n`),
);

for (const format of ["ini", "toml"] as const) {
  test(`any ${format} text is read, or rejected with a ConfigurationError that never shows the secret`, () => {
    const read = (text: string): string => {
      try {
        return inspect(parsePublisherConfig(text, { format, env: { HOST: "h" } }), { depth: 9 });
      } catch (error) {
        assert.ok(error instanceof ConfigurationError, String(error));
        return inspect(error, { depth: 9 });
      }
    };
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const start = format === "ini" ? "[event-publisher:main]\n" : "[event-publisher.main]\n";
        const rest = pieces.join("");
        read(rest);
        const shown = read(
          `${start}key.secret = ${format === "ini" ? SECRET : JSON.stringify(SECRET)}\n${rest}`,
        );
        if (!rest.includes(SECRET)) assert.ok(!shown.includes(SECRET.slice(0, -2)), shown);
      }),
      { numRuns: 1_000 },
    );
  });
}

test("the error about a queue with dots in its name shows the quotes that TOML needs", () => {
  const read = (text: string, queueName: string) =>
    parsePublisherConfig(text, { format: "toml", file: "f.toml", queueName });
  const settings = 'collector.hostname = "localhost"\nkey.name = "k"\nkey.secret = "c2VjcmV0"\n';
  for (const [queueName, table, quoted] of [
    ["a.b", "event-publisher.a.b", '[event-publisher."a.b"]'],
    ["a.b.c", "event-publisher.a.b.c", '[event-publisher."a.b.c"]'],
    ["a.b", "event-publisher.a", '[event-publisher."a.b"]'],
  ] as const) {
    assert.throws(
      () => read(`[${table}]\n${settings}`, queueName),
      (error) =>
        error instanceof ConfigurationError &&
        error.message.startsWith(`f.toml: ${quoted}`) &&
        (table === "event-publisher.a" || error.message.includes(`needs quotes, ${quoted}`)),
    );
    assert.equal(read(`${quoted}\n${settings}`, queueName).queueName, queueName);
  }
  assert.throws(
    () => read(`[event-publisher."x.y"]\n${settings}`, "a"),
    /the file has \[event-publisher\."x\.y"\]/,
  );
});
