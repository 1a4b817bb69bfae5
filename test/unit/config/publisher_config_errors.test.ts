import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import { describePublisherConfig } from "../../../src/config/describe_config.ts";
import { loadPublisherConfig, parsePublisherConfig } from "../../../src/config/publisher_config.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import { MINIMAL } from "./differences.ts";
import { collectorOf, EVERY_SETTING, inTemporaryDirectory, rejects, withSettings } from "./support.ts";

const SECRET = MINIMAL["key.secret"]!;

test("places errors of a TOML file by file, section and key", () => {
  const toml = '[event-publisher.main]\ncollector.hostname = "h"\nkey = { name = "K", secret = [1] }\n';
  rejects(
    () => parsePublisherConfig(toml, { format: "toml", file: "f.toml", env: {} }),
    /^f\.toml: \[event-publisher\.main\] key\.secret: expected a string, number or boolean$/,
  );
});

test("lists the sections that are there if the one asked for is not", () => {
  const reject = (text: string, message: RegExp, format: "ini" | "toml" = "ini") =>
    rejects(() => parsePublisherConfig(text, { format, file: "f", queueName: "v2", env: {} }), message);
  reject("", /^f: \[event-publisher:v2\] the file has no such section: it has no sections$/);
  reject("[a]\n[ event-publisher:v2 ]\n", /it has \[a\], \[ event-publisher:v2 \]$/);
  reject(Array.from({ length: 20 }, (_, i) => `[s${i}]\n`).join(""), /\[s9\], \.\.\.$/);
  reject(
    "[a]\n[event-publisher.main]\n",
    /^f: \[event-publisher\.v2\] .*it has \[event-publisher\.main\], \[a\]$/,
    "toml",
  );
});

test("names file, line, section and key in an error", () => {
  rejects(
    () => withSettings({ "collector.timeout": "10" }),
    /^f\.ini:5: \[event-publisher:main\] collector\.timeout: expected a duration with its unit, such as 10s or 10ms, got "10"$/,
  );
});

test("bounds the numbers", () => {
  const cases: [string, string, RegExp][] = [
    ["max_queue_size", "1_000_000_000_001", /expected 1 to 1000000000000$/],
    ["publisher.concurrency", "0", /expected 1 to 256$/],
    ["publisher.concurrency", "257", /expected 1 to 256$/],
    ["collector.timeout", "0s", /expected 1 to 86400000ms$/],
    ["publisher.grace", "25h", /expected 0 to 86400000ms$/],
    ["batch.max_bytes", "100kB", /is 100000 bytes: expected 102428 to 512000 bytes$/],
    ["batch.max_bytes", "1MB", /expected 102428 to 512000 bytes$/],
  ];
  for (const [key, value, message] of cases) rejects(() => withSettings({ [key]: value }), message);
});

test("rejects a variable that is not set and names it, but not in a secret, which it could be part of", () => {
  rejects(() => withSettings({ "queue.directory": "$NOPE/x" }), /the environment variable NOPE is not set/);
  rejects(
    () => withSettings({ "key.secret": "pa$SWORD" }),
    /^f\.ini:4: (?!.*SWORD).*variable in it is not set$/,
  );
});

test("takes an unset variable in a name as it is written, as baseplate.py does, and warns", () => {
  const config = withSettings({ "key.name": "a$$b", "metrics.namespace": "$NS" });
  assert.equal(collectorOf(config).key.name, "a$$b");
  assert.deepEqual(config.warnings, [
    "f.ini:3: [event-publisher:main] key.name: the environment variable b is not set: taken as it is written",
    "f.ini:5: [event-publisher:main] metrics.namespace: the environment variable NS is not set: taken as it is written",
  ]);
});

test("points to a misspelt key where the right one is missing", () => {
  const file = (format: "ini" | "toml", text: string) => () =>
    parsePublisherConfig(text, { format, file: "f", env: {} });
  rejects(
    file("ini", `[event-publisher:main]\ncollector.hostname = c\nkey.name = K\nkey.secert = ${SECRET}\n`),
    /^f: \[event-publisher:main\] key\.secret: no key specified: .*; is key\.secert in line 4 meant to be it\?$/,
  );
  rejects(
    file("toml", '[event-publisher.main]\ncolector.hostname = "c"\n'),
    /^f: .* collector\.hostname: no value specified; is colector\.hostname meant to be it\?$/,
  );
  rejects(file("ini", "[event-publisher:main]\ncollector.hostname = c\n"), /key\.name: no value specified$/);
});

test("warns of unknown keys and suggests the one that was meant", () => {
  assert.deepEqual(withSettings({ "collector.hostnam": "x", "something.else": "y" }).warnings, [
    "f.ini:5: [event-publisher:main] collector.hostnam: unknown key, ignored: did you mean collector.hostname?",
    "f.ini:6: [event-publisher:main] something.else: unknown key, ignored",
  ]);
});

test("does not show the end of a secret that was wrapped without an indent", () => {
  const text =
    "[event-publisher:main]\ncollector.hostname = localhost\nkey.name = K\nkey.secret = aHVu\ndGVyMg==\n";
  assert.deepEqual(parsePublisherConfig(text, { file: "f.ini", env: {} }).warnings, [
    "f.ini:5: [event-publisher:main] unknown key, ignored; to continue the value above, indent the line",
  ]);
});

test("warns of plain http to another machine, and not to this one", () => {
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

test("never shows a hostname that is rejected: it could hold a password", () => {
  for (const hostname of ["u:hunter2@h", "h/?t=hunter2", "https://u:hunter2@h", "h hunter2", "h\\hunter2"]) {
    rejects(
      () => withSettings({ "collector.hostname": hostname }),
      /^(?!.*hunter2).*expected host\[:port\]\[\/path\]/,
    );
  }
});

test("shows the secret in no way the configuration is printed", () => {
  const config = withSettings({});
  for (const text of [
    inspect(config, { depth: 9 }),
    JSON.stringify(config),
    JSON.stringify(describePublisherConfig(config)),
  ]) {
    assert.doesNotMatch(text, /hunter2|aHVu/);
  }
});

test("says what is wrong with a file that cannot be read", () => {
  inTemporaryDirectory((directory) => {
    const missing = join(directory, "missing.ini");
    const binary = join(directory, "binary.ini");
    writeFileSync(binary, new Uint8Array([0x5b, 0xff, 0x5d]));
    rejects(
      () => loadPublisherConfig(missing),
      /missing\.ini: cannot read the configuration: there is no such file$/,
    );
    rejects(() => loadPublisherConfig(directory), /cannot read the configuration: it is a directory$/);
    rejects(() => loadPublisherConfig(join(binary, "x")), /cannot read the configuration: /);
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
  test(`reads any text as ${format}, or rejects it as a configuration error, and never shows the secret`, () => {
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

test("names the quotes that a TOML table needs for a queue with dots in its name", () => {
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
    /it has \[event-publisher\."x\.y"\]/,
  );
});
