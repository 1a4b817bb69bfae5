import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import {
  describePublisherConfig,
  loadPublisherConfig,
  parsePublisherConfig,
} from "../../../src/config/publisher_config.ts";
import { iniOf, MINIMAL } from "./differences.ts";
import { collectorOf, EVERY_SETTING, inTemporaryDirectory, rejects, withSettings } from "./support.ts";

test("the defaults of a publisher", () => {
  const { destination, ...rest } = withSettings({});
  assert.deepEqual(
    { ...destination, key: collectorOf({ destination }).key.name },
    {
      kind: "collector",
      url: "https://c.example/v2",
      version: "2",
      timeoutMs: 10_000,
      proxy: undefined,
      tls: undefined,
      key: "K",
    },
  );
  assert.deepEqual(rest, {
    queueName: "main",
    directory: undefined,
    file: undefined,
    maxQueueSize: undefined,
    batch: { maxAgeMs: 1_000, minIntervalMs: 50, gzipLevel: 1, maxBytes: 512_000, maxEvents: undefined },
    deadLetters: { maxCount: 10_000, maxBytes: 67_108_864, maxShare: 0.1 },
    subscription: { name: "default", start: undefined, lagLimit: undefined },
    retention: undefined,
    concurrency: 32,
    dropFields: [],
    graceMs: 10_000,
    ballastBytes: 16_777_216,
    fileMode: 0o600,
    allowNetworkFileSystem: false,
    admin: { listen: { host: "127.0.0.1", port: 9_900 }, token: undefined },
    metrics: { namespace: "", endpoint: undefined, logIfUnconfigured: false, swallowNetworkErrors: false },
    warnings: [],
  });
});

const EVERY_PLACE = {
  kind: "collector",
  url: "http://localhost:9800/in/v2j",
  version: "2j",
  timeoutMs: 3_000,
  proxy: "environment",
  tls: undefined,
};

const EVERYTHING = {
  queueName: "main",
  directory: "/var/lib/eventspool",
  file: undefined,
  maxQueueSize: 5_000,
  batch: { maxAgeMs: 250, minIntervalMs: 100, gzipLevel: 6, maxBytes: 200_000, maxEvents: 100 },
  deadLetters: { maxCount: 500, maxBytes: 1_048_576, maxShare: 0.5 },
  subscription: { name: "audit", start: "oldest", lagLimit: { maxEvents: 1_000 } },
  retention: { maxAgeMs: 86_400_000, maxBytes: 1_073_741_824 },
  concurrency: 1,
  dropFields: ["user.email", "ip"],
  graceMs: 60_000,
  ballastBytes: 0,
  fileMode: 0o660,
  allowNetworkFileSystem: false,
  admin: { listen: { path: resolve("admin.sock") }, token: undefined },
  metrics: {
    namespace: "a.b",
    endpoint: { host: "statsd", port: 8_125 },
    logIfUnconfigured: true,
    swallowNetworkErrors: true,
  },
  warnings: [],
};

test("every key is read", () => {
  const { destination, ...rest } = withSettings(EVERY_SETTING);
  const { key: _, ...place } = collectorOf({ destination });
  assert.deepEqual(place, EVERY_PLACE);
  assert.deepEqual(rest, EVERYTHING);
});

test("TOML gives the same configuration, with numbers and booleans", () => {
  const toml = `
    [event-publisher.main]
    collector = { hostname = "$HOST", scheme = "http", version = "2j", timeout = "3s", proxy = "environment" }
    key.name = "K"
    key.secret = "\${SECRET}"
    queue = { directory = "/var/lib/eventspool", file_mode = "0660", ballast = "off", retention = "24h", retention_bytes = "1GiB" }
    subscription = { start = "oldest", lag_limit = 1_000 }
    max_queue_size = 5_000
    "batch.max_age" = "250ms"
    "batch.min_interval" = "100ms"
    "batch.gzip_level" = 6
    batch.max_bytes = 200_000
    batch.max_events = 100
    dead_letters = { max_count = 500, max_bytes = "1MiB", max_share = "50%" }
    admin.listen = "./admin.sock"
    [event-publisher.main.publisher]
    concurrency = 1
    subscription = "audit"
    grace = "1m"
    drop_fields = "user.email, ip"
    [event-publisher.main.metrics]
    namespace = "a.b"
    endpoint = "statsd:8125"
    log_if_unconfigured = true
    swallow_network_errors = true
  `;
  const env = { HOST: "localhost:9800/in", SECRET: MINIMAL["key.secret"]! };
  const { destination, ...rest } = parsePublisherConfig(toml, { format: "toml", env });
  const { key, ...place } = collectorOf({ destination });
  assert.equal(Buffer.from(key.secret.reveal()).toString(), "hunter2 has a long secret");
  assert.deepEqual(place, EVERY_PLACE);
  assert.deepEqual(rest, EVERYTHING);
});

test("the section of the queue is read", () => {
  const text = iniOf({}, "main") + iniOf({ "key.name": "other" }, "v2.events_x-1");
  const config = parsePublisherConfig(text, { queueName: "v2.events_x-1", env: {} });
  assert.equal(collectorOf(config).key.name, "other");
  assert.equal(config.queueName, "v2.events_x-1");
});

test("keys of [DEFAULT] are inherited, without warnings about keys of other sections", () => {
  const text = `[DEFAULT]\nkey.name = D\nmax_queue_size = 7\nunrelated = 1\n${iniOf({})}`;
  const config = parsePublisherConfig(text, { env: {} });
  assert.equal(collectorOf(config).key.name, "K");
  assert.equal(config.maxQueueSize, 7);
  assert.deepEqual(config.warnings, []);
});

test("a blank value counts as absent, also if a variable is blank", () => {
  const config = withSettings({ max_queue_size: "", "admin.listen": "$EMPTY" }, { EMPTY: "" });
  assert.equal(config.maxQueueSize, undefined);
  assert.deepEqual(config.admin.listen, { host: "127.0.0.1", port: 9_900 });
});

test("admin.listen = off turns the admin routes off", () => {
  assert.equal(withSettings({ "admin.listen": "off" }).admin.listen, undefined);
});

test("the URL is used as written: port, case, and names beyond ASCII", () => {
  for (const host of [
    "C.Example:443",
    "bücher.example",
    "h/a/b%20c",
    "h.:8443",
    "[2001:db8::1]:8443",
    "a_b",
  ]) {
    assert.equal(collectorOf(withSettings({ "collector.hostname": host })).url, `https://${host}/v2`);
  }
});

test("slashes at the end of the hostname are ignored", () => {
  for (const [host, url] of [
    ["host/", "https://host/v2"],
    ["host:8443//", "https://host:8443/v2"],
    ["host/in/", "https://host/in/v2"],
  ] as const)
    assert.equal(collectorOf(withSettings({ "collector.hostname": host })).url, url);
});

for (const host of [
  "host:0",
  "host:00/in",
  "host:65536",
  "host:",
  ":80",
  ".",
  "-host",
  "u@host",
  "host?a",
  "host#a",
  "h\\a",
])
  test(`the hostname ${host} is rejected`, () => {
    rejects(
      () => withSettings({ "collector.hostname": host }),
      /collector\.hostname: expected host\[:port\]\[\/path\]/,
    );
  });

test("a hostname with a wrong port is rejected with the port and the range", () => {
  for (const [host, port] of [
    ["host:0", "0"],
    ["host:65536/in", "65536"],
    ["host:", ""],
  ] as const)
    rejects(
      () => withSettings({ "collector.hostname": host }),
      new RegExp(`with a port from 1 to 65535, got "${port}"$`),
    );
});

test("a proxy is read, and its password is not shown", () => {
  const config = withSettings({ "collector.proxy": "http://user:pass@proxy.example:3128" });
  assert.match(
    JSON.stringify(describePublisherConfig(config)),
    /"collector_proxy":"http:\/\/proxy.example:3128"/,
  );
  assert.doesNotMatch(JSON.stringify(config), /pass@/);
  for (const proxy of [
    "proxy:3128",
    "socks5://p:pass@proxy",
    "http://",
    "http://p:pass@proxy/path",
    "Environment",
  ])
    assert.throws(
      () => withSettings({ "collector.proxy": proxy }),
      ({ message }: Error) => /collector\.proxy: expected http/.test(message) && !message.includes("pass@"),
    );
});

test("certificates need https, their key, and readable files", () => {
  inTemporaryDirectory((directory) => {
    const file = join(directory, "any.pem");
    writeFileSync(file, "");
    const tls = {
      "collector.tls_ca_file": file,
      "collector.tls_cert_file": file,
      "collector.tls_key_file": file,
    };
    assert.deepEqual(collectorOf(withSettings(tls)).tls, { caFile: file, certFile: file, keyFile: file });
    rejects(() => withSettings({ ...tls, "collector.scheme": "http" }), /collector\.tls_\* are for https/);
    rejects(() => withSettings({ "collector.tls_cert_file": file }), /needs collector\.tls_key_file/);
    rejects(() => withSettings({ "collector.tls_ca_file": `${file}.gone` }), /cannot read the file/);
  });
});

test("--check shows the configuration without the secret", () => {
  assert.deepEqual(describePublisherConfig(withSettings(EVERY_SETTING)), {
    queue: "main",
    directory: "/var/lib/eventspool",
    queue_ballast_bytes: 0,
    queue_file_mode: "0660",
    queue_allow_network_file_system: false,
    max_queue_size: 5_000,
    destination: "collector",
    url: "http://localhost:9800/in/v2j",
    collector_timeout_ms: 3_000,
    collector_proxy: "environment",
    collector_tls_ca_file: null,
    collector_tls_cert_file: null,
    collector_tls_key_file: null,
    key_name: "K",
    batch_max_age_ms: 250,
    batch_min_interval_ms: 100,
    batch_gzip_level: 6,
    batch_max_bytes: 200_000,
    batch_max_events: 100,
    queue_retention_ms: 86_400_000,
    queue_retention_bytes: 1_073_741_824,
    publisher_subscription: "audit",
    dead_letters_max_count: 500,
    dead_letters_max_bytes: 1_048_576,
    dead_letters_max_share: 0.5,
    publisher_concurrency: 1,
    publisher_drop_fields: ["user.email", "ip"],
    publisher_grace_ms: 60_000,
    admin_listen: resolve("admin.sock"),
    admin_token: false,
    metrics: {
      namespace: "a.b",
      endpoint: "statsd:8125",
      log_if_unconfigured: true,
      swallow_network_errors: true,
    },
    warnings: [],
  });
});

test("--check shows absent values as their default, null or off", () => {
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

test("a file whose name ends in .toml is TOML", () => {
  inTemporaryDirectory((directory) => {
    const ini = join(directory, "config.ini");
    const toml = join(directory, "config.TOML");
    writeFileSync(ini, iniOf({}), { mode: 0o600 });
    writeFileSync(toml, '[event-publisher.main]\ncollector.hostname="t"\nkey.name="K"\nkey.secret="aGk="\n');
    assert.equal(collectorOf(loadPublisherConfig(ini)).url, "https://c.example/v2");
    assert.equal(collectorOf(loadPublisherConfig(toml)).url, "https://t/v2");
  });
});

test("variables are from the environment of the process by default", () => {
  process.env.EVENTSPOOL_TEST_HOST = "from.env";
  try {
    const config = parsePublisherConfig(iniOf({ "collector.hostname": "$EVENTSPOOL_TEST_HOST" }));
    assert.equal(collectorOf(config).url, "https://from.env/v2");
  } finally {
    delete process.env.EVENTSPOOL_TEST_HOST;
  }
});

test("reads where a subscription starts, how far it may lag behind, and what is retained", () => {
  const startOf = (text: string) => withSettings({ "subscription.start": text }).subscription.start;
  assert.deepEqual(
    [startOf("now"), startOf("42"), startOf("2026-05-01T12:00:00Z")],
    ["now", 42, new Date("2026-05-01T12:00:00Z")],
  );
  for (const text of ["yesterday", "-1", "1.5", "2026-99-01"])
    rejects(() => startOf(text), /subscription\.start.*expected now, oldest, an id or a time such as/s);
  const limitOf = (text: string) => withSettings({ "subscription.lag_limit": text }).subscription.lagLimit;
  assert.deepEqual(
    [limitOf("off"), limitOf("5000"), limitOf("1h")],
    [{}, { maxEvents: 5_000 }, { maxAgeMs: 3_600_000 }],
  );
  for (const text of ["0", "10ms", "soon"]) rejects(() => limitOf(text), /subscription\.lag_limit/);
  const retentionOf = (settings: Record<string, string>) => withSettings(settings).retention;
  assert.deepEqual(retentionOf({ "queue.retention": "off" }), { maxAgeMs: undefined, maxBytes: undefined });
  assert.deepEqual(retentionOf({ "queue.retention_bytes": "2MB" }), {
    maxAgeMs: undefined,
    maxBytes: 2_000_000,
  });
  rejects(
    () => withSettings({ "publisher.subscription": ".a" }),
    /publisher\.subscription.*is not a subscription name/s,
  );
});

test("the path of a service's database is relative to the configuration file", () => {
  inTemporaryDirectory((directory) => {
    const place = (file: string): string | undefined => {
      const config = join(directory, "publisher.ini");
      writeFileSync(config, iniOf({ "queue.file": file }));
      return loadPublisherConfig(config, { env: { DATA: "/srv/data" } }).file;
    };
    assert.equal(place("shop.db"), join(directory, "shop.db"));
    assert.equal(place("../data/shop.db"), resolve(directory, "../data/shop.db"));
    assert.equal(place("/srv/shop.db"), "/srv/shop.db");
    assert.equal(place("$DATA/shop.db"), "/srv/data/shop.db");
  });
  const text = iniOf({ "queue.file": "shop.db" });
  assert.equal(parsePublisherConfig(text, { env: {} }).file, resolve("shop.db"));
});

test("there is no ballast beside a service's database by default", () => {
  assert.equal(withSettings({ "queue.file": "/shop.db" }).ballastBytes, 0);
  assert.equal(withSettings({ "queue.file": "/shop.db", "queue.ballast": "1MiB" }).ballastBytes, 1_048_576);
});

test("a directory and a file for one queue are rejected", () => {
  rejects(
    () => withSettings({ "queue.file": "/shop.db", "queue.directory": "/spool" }),
    /queue\.file: and queue\.directory are both set: keep one of them$/,
  );
});

test("a mode for a service's database gives a warning", () => {
  const { warnings } = withSettings({ "queue.file": "/shop.db", "queue.file_mode": "0660" });
  assert.match(warnings.join("\n"), /queue\.file_mode: has no effect beside queue\.file/);
});
