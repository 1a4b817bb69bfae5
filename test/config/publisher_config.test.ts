import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import {
  describePublisherConfig,
  loadPublisherConfig,
  type PublisherConfig,
  parsePublisherConfig,
} from "../../src/config/publisher_config.ts";
import { ConfigurationError } from "../../src/errors.ts";
import { iniOf, MINIMAL } from "./differences.ts";

const SECRET = MINIMAL["key.secret"]!;

function withSettings(settings: Record<string, string>, env: Record<string, string> = {}): PublisherConfig {
  return parsePublisherConfig(iniOf(settings), { file: "f.ini", env });
}

function refuses(parse: () => unknown, message: RegExp): void {
  assert.throws(
    parse,
    (error) => error instanceof ConfigurationError && message.test(error.message),
    String(message),
  );
}

function inTemporaryDirectory(run: (directory: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), "eventspool-config-"));
  try {
    run(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("fills in the defaults", () => {
  const { key, ...rest } = withSettings({});
  assert.equal(key.name, "K");
  assert.deepEqual(rest, {
    queueName: "main",
    directory: undefined,
    maxQueueSize: undefined,
    collector: { url: "https://c.example/v2", version: "2", timeoutMs: 10_000 },
    batch: { maxAgeMs: 1_000, maxBytes: 512_000 },
    concurrency: 4,
    graceMs: 10_000,
    admin: { listen: { host: "127.0.0.1", port: 9_900 } },
    metrics: { namespace: "", endpoint: undefined, logIfUnconfigured: false, swallowNetworkErrors: false },
    warnings: [],
  });
});

const EVERY_SETTING = {
  "collector.hostname": "localhost:9800/in",
  "collector.scheme": "http",
  "collector.version": "2j",
  "collector.timeout": "3s",
  "queue.directory": "/var/lib/eventspool",
  max_queue_size: "5_000",
  "batch.max_age": "250ms",
  "batch.max_bytes": "200kB",
  "publisher.concurrency": "1",
  "publisher.grace": "1m",
  "admin.listen": "./admin.sock",
  "metrics.namespace": "a.b",
  "metrics.endpoint": "statsd:8125",
  "metrics.log_if_unconfigured": "True",
  "metrics.swallow_network_errors": "TRUE",
};

const EVERYTHING = {
  queueName: "main",
  directory: "/var/lib/eventspool",
  maxQueueSize: 5_000,
  collector: { url: "http://localhost:9800/in/v2j", version: "2j", timeoutMs: 3_000 },
  batch: { maxAgeMs: 250, maxBytes: 200_000 },
  concurrency: 1,
  graceMs: 60_000,
  admin: { listen: { path: "./admin.sock" } },
  metrics: {
    namespace: "a.b",
    endpoint: { host: "statsd", port: 8_125 },
    logIfUnconfigured: true,
    swallowNetworkErrors: true,
  },
  warnings: [],
};

test("reads every key", () => {
  const { key: _, ...rest } = withSettings(EVERY_SETTING);
  assert.deepEqual(rest, EVERYTHING);
});

test("reads the same from TOML, with numbers and booleans where INI has text", () => {
  const toml = `
    [event-publisher.main]
    collector = { hostname = "$HOST", scheme = "http", version = "2j", timeout = "3s" }
    key.name = "K"
    key.secret = "\${SECRET}"
    queue.directory = "/var/lib/eventspool"
    max_queue_size = 5_000
    "batch.max_age" = "250ms"
    batch.max_bytes = 200_000
    admin.listen = "./admin.sock"
    [event-publisher.main.publisher]
    concurrency = 1
    grace = "1m"
    [event-publisher.main.metrics]
    namespace = "a.b"
    endpoint = "statsd:8125"
    log_if_unconfigured = true
    swallow_network_errors = true
  `;
  const env = { HOST: "localhost:9800/in", SECRET };
  const { key, ...rest } = parsePublisherConfig(toml, { format: "toml", env });
  assert.equal(Buffer.from(key.secret.reveal()).toString(), "hunter2");
  assert.deepEqual(rest, EVERYTHING);
});

test("places errors of a TOML file by file, section and key", () => {
  const toml = '[event-publisher.main]\ncollector.hostname = "h"\nkey = { name = "K", secret = [1] }\n';
  refuses(
    () => parsePublisherConfig(toml, { format: "toml", file: "f.toml", env: {} }),
    /^f\.toml: \[event-publisher\.main\] key\.secret: expected a string, number or boolean$/,
  );
});

test("reads the section of the queue that is asked for", () => {
  const text = iniOf({}, "main") + iniOf({ "key.name": "other" }, "v2.events_x-1");
  const config = parsePublisherConfig(text, { queueName: "v2.events_x-1", env: {} });
  assert.equal(config.key.name, "other");
  assert.equal(config.queueName, "v2.events_x-1");
});

test("lists the sections that are there if the one asked for is not", () => {
  const refuse = (text: string, message: RegExp, format: "ini" | "toml" = "ini") =>
    refuses(() => parsePublisherConfig(text, { format, file: "f", queueName: "v2", env: {} }), message);
  refuse("", /^f: \[event-publisher:v2\] the file has no such section: it has no sections$/);
  refuse("[a]\n[ event-publisher:v2 ]\n", /it has \[a\], \[ event-publisher:v2 \]$/);
  refuse(Array.from({ length: 20 }, (_, i) => `[s${i}]\n`).join(""), /\[s9\], \.\.\.$/);
  refuse(
    "[a]\n[event-publisher.main]\n",
    /^f: \[event-publisher\.v2\] .*it has \[event-publisher\.main\], \[a\]$/,
    "toml",
  );
});

test("takes from [DEFAULT] what the section does not say, without a warning about keys meant for others", () => {
  const text = `[DEFAULT]\nkey.name = D\nmax_queue_size = 7\nunrelated = 1\n${iniOf({})}`;
  const config = parsePublisherConfig(text, { env: {} });
  assert.equal(config.key.name, "K");
  assert.equal(config.maxQueueSize, 7);
  assert.deepEqual(config.warnings, []);
});

test("takes a blank value for absent, also one that a variable left blank", () => {
  const config = withSettings({ max_queue_size: "", "admin.listen": "$EMPTY" }, { EMPTY: "" });
  assert.equal(config.maxQueueSize, undefined);
  assert.deepEqual(config.admin.listen, { host: "127.0.0.1", port: 9_900 });
});

test("turns the admin routes off", () => {
  assert.equal(withSettings({ "admin.listen": "off" }).admin.listen, undefined);
});

test("names file, line, section and key in an error", () => {
  refuses(
    () => withSettings({ "collector.timeout": "10" }),
    /^f\.ini:5: \[event-publisher:main\] collector\.timeout: expected a duration with its unit: 10ms or 10s\?, got "10"$/,
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
  for (const [key, value, message] of cases) refuses(() => withSettings({ [key]: value }), message);
});

test("refuses a variable that is not set and names it, but not in a secret, which it could be part of", () => {
  refuses(() => withSettings({ "queue.directory": "$NOPE/x" }), /the environment variable NOPE is not set/);
  refuses(
    () => withSettings({ "key.secret": "pa$SWORD" }),
    /^f\.ini:4: (?!.*SWORD).*variable in it is not set$/,
  );
});

test("takes an unset variable in a name as it is written, as baseplate.py does, and warns", () => {
  const config = withSettings({ "key.name": "a$$b", "metrics.namespace": "$NS" });
  assert.equal(config.key.name, "a$$b");
  assert.deepEqual(config.warnings, [
    "f.ini:3: [event-publisher:main] key.name: the environment variable b is not set: taken as it is written",
    "f.ini:5: [event-publisher:main] metrics.namespace: the environment variable NS is not set: taken as it is written",
  ]);
});

test("warns of unknown keys and suggests the one that was meant", () => {
  assert.deepEqual(withSettings({ "collector.hostnam": "x", "something.else": "y" }).warnings, [
    "f.ini:5: [event-publisher:main] collector.hostnam: not a known key, ignored: did you mean collector.hostname?",
    "f.ini:6: [event-publisher:main] something.else: not a known key, ignored",
  ]);
});

test("does not show the end of a secret that was wrapped without an indent", () => {
  const text = "[event-publisher:main]\ncollector.hostname = h\nkey.name = K\nkey.secret = aHVu\ndGVyMg==\n";
  assert.deepEqual(parsePublisherConfig(text, { file: "f.ini", env: {} }).warnings, [
    "f.ini:5: [event-publisher:main] not a known key, ignored; to continue the value above, indent the line",
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

test("keeps the URL as it is written: port, letters' case, names beyond ASCII", () => {
  for (const host of ["C.Example:443", "bücher.example", "h/a/b%20c/", "[2001:db8::1]:8443", "a_b"]) {
    assert.equal(withSettings({ "collector.hostname": host }).collector.url, `https://${host}/v2`);
  }
});

test("never shows a hostname that is refused: it could hold a password", () => {
  for (const hostname of ["u:hunter2@h", "h/?t=hunter2", "https://u:hunter2@h", "h hunter2", "h\\hunter2"]) {
    refuses(
      () => withSettings({ "collector.hostname": hostname }),
      /^(?!.*hunter2).*expected host\[:port\]\[\/path\]/,
    );
  }
});

test("describes the configuration for --check, without the secret", () => {
  assert.deepEqual(describePublisherConfig(withSettings(EVERY_SETTING)), {
    queue: "main",
    directory: "/var/lib/eventspool",
    max_queue_size: 5_000,
    url: "http://localhost:9800/in/v2j",
    collector_timeout_ms: 3_000,
    key_name: "K",
    batch_max_age_ms: 250,
    batch_max_bytes: 200_000,
    publisher_concurrency: 1,
    publisher_grace_ms: 60_000,
    admin_listen: "./admin.sock",
    metrics: {
      namespace: "a.b",
      endpoint: "statsd:8125",
      log_if_unconfigured: true,
      swallow_network_errors: true,
    },
    warnings: [],
  });
});

test("describes what is not set by its default, null or off", () => {
  const described = describePublisherConfig(withSettings({ "admin.listen": "off" }));
  assert.equal(described.directory, null);
  assert.equal(described.max_queue_size, 10_000);
  assert.equal(described.admin_listen, "off");
  assert.deepEqual(described.metrics, {
    namespace: "",
    endpoint: null,
    log_if_unconfigured: false,
    swallow_network_errors: false,
  });
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

test("reads a file, as TOML if its name ends so", () => {
  inTemporaryDirectory((directory) => {
    const ini = join(directory, "config.ini");
    const toml = join(directory, "config.TOML");
    writeFileSync(ini, iniOf({}));
    writeFileSync(toml, '[event-publisher.main]\ncollector.hostname="t"\nkey.name="K"\nkey.secret="aGk="\n');
    assert.equal(loadPublisherConfig(ini).collector.url, "https://c.example/v2");
    assert.equal(loadPublisherConfig(toml).collector.url, "https://t/v2");
  });
});

test("takes variables from the environment of the process unless told otherwise", () => {
  process.env.EVENTSPOOL_TEST_HOST = "from.env";
  try {
    const config = parsePublisherConfig(iniOf({ "collector.hostname": "$EVENTSPOOL_TEST_HOST" }));
    assert.equal(config.collector.url, "https://from.env/v2");
  } finally {
    delete process.env.EVENTSPOOL_TEST_HOST;
  }
});

test("says what is wrong with a file that cannot be read", () => {
  inTemporaryDirectory((directory) => {
    const missing = join(directory, "missing.ini");
    const binary = join(directory, "binary.ini");
    writeFileSync(binary, new Uint8Array([0x5b, 0xff, 0x5d]));
    refuses(
      () => loadPublisherConfig(missing),
      /missing\.ini: cannot read the configuration: there is no such file$/,
    );
    refuses(() => loadPublisherConfig(directory), /cannot read the configuration: it is a directory$/);
    refuses(() => loadPublisherConfig(join(binary, "x")), /cannot read the configuration: /);
    refuses(() => loadPublisherConfig(binary), /binary\.ini: the configuration is not UTF-8 text$/);
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
  test(`reads any text as ${format}, or refuses it as a configuration error, and never shows the secret`, () => {
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
