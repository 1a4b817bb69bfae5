import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fingerprintOf } from "../../../src/config/credentials.ts";
import type { HttpDestinationConfig } from "../../../src/config/http_config.ts";
import {
  describePublisherConfig,
  type PublisherConfig,
  parsePublisherConfig,
} from "../../../src/config/publisher_config.ts";
import { iniOf } from "../../support/config.ts";
import { inTemporaryDirectory, rejects } from "./support.ts";

const TOKEN = "0123456789abcdef0123456789abcdef";

function read(settings: Readonly<Record<string, string>>, directory = "/etc"): PublisherConfig {
  const all = { destination: "http", "http.url": "https://in.example/events", ...settings };
  const file = join(directory, "f.ini");
  return parsePublisherConfig(iniOf("event-publisher:main", all), { file, env: { TOKEN } });
}

function httpOf({ destination }: PublisherConfig): HttpDestinationConfig {
  assert.equal(destination.kind, "http");
  return destination as HttpDestinationConfig;
}

test("needs no more than a URL", () => {
  const config = read({});
  assert.deepEqual(httpOf(config), {
    kind: "http",
    url: "https://in.example/events",
    shownUrl: "https://in.example/events",
    timeoutMs: 10_000,
    proxy: undefined,
    tls: undefined,
    headers: {},
    bodyKind: "ndjson",
    body: { before: "", event: "{event}\n", between: "", after: "" },
    auth: { kind: "none" },
    compression: "gzip",
    response: "status",
    acceptedStatuses: undefined,
    rejectedStatuses: [400, 413, 422],
  });
  assert.deepEqual(config.warnings, []);
});

test("takes the URL as it is written, with spaces in its query", () => {
  const { url } = httpOf(
    read({ "http.url": "http://localhost:8123/?query=INSERT INTO events FORMAT JSONEachRow" }),
  );
  assert.equal(url, "http://localhost:8123/?query=INSERT%20INTO%20events%20FORMAT%20JSONEachRow");
});

test("warns of settings with which ClickHouse accepts events that it does not store", () => {
  const warningsOf = (query: string) => read({ "http.url": `https://ch.example/?${query}` }).warnings;
  assert.match(
    warningsOf("async_insert=1&wait_for_async_insert=0").join(),
    /http\.url: .*before they are stored/,
  );
  assert.match(warningsOf("input_format_allow_errors_ratio=0.1").join(), /skipped without an error/);
  assert.deepEqual(warningsOf("wait_for_async_insert=1&input_format_allow_errors_num=0&constructor=1"), []);
});

test("shows of a URL its host, and the words and numbers of its path", () => {
  const SLACK = "services/T01ABCDEF/B01ABCDEF/1a2B3c4D5e6F7g8H9i0J1k2L";
  for (const [path, shown] of [
    ["", ""],
    ["events-2026.11/_bulk", "events-2026.11/_bulk"],
    ["v1/projects/42/Events/", "v1/projects/42/Events/"],
    ["in?key=k", "in?[redacted]"],
    [SLACK, "services/[redacted]/[redacted]/[redacted]"],
    ["bot123456:AAe-bcd/send", "[redacted]/send"],
    ["hooks/catch/123456/3fgh2ab/", "hooks/catch/123456/[redacted]/"],
    ["123e4567-e89b-42d3-a456-426614174000", "[redacted]"],
    [TOKEN, "[redacted]"],
    [`x/${"a".repeat(100_000)}!`, "x/[redacted]"],
  ] as const) {
    const config = read({ "http.url": `https://in.example/${path}` });
    assert.equal(httpOf(config).shownUrl, `https://in.example/${shown}`);
    assert.equal(describePublisherConfig(config).url, `https://in.example/${shown}`);
  }
  inTemporaryDirectory((directory) => {
    writeFileSync(join(directory, "url"), "https://in.example:8443/hook?to=web\n");
    const { url, shownUrl } = httpOf(read({ "http.url": "", "http.url_file": "url" }, directory));
    assert.deepEqual(
      [url, shownUrl],
      ["https://in.example:8443/hook?to=web", "https://in.example:8443/[redacted]"],
    );
  });
});

test("reads secrets of headers and of auth from files, and shows none of them", () => {
  inTemporaryDirectory((directory) => {
    writeFileSync(join(directory, "token"), `${TOKEN}\n`);
    const config = read(
      {
        "http.url": `https://in.example/events?key=$TOKEN`,
        "http.header.X-Api-Key_file": "token",
        "http.header.X-Team": "web",
        "http.auth": "bearer",
        "http.token_file": "token",
      },
      directory,
    );
    const { headers, auth } = httpOf(config);
    assert.deepEqual(Object.keys(headers), ["X-Api-Key", "X-Team"]);
    assert.equal(Buffer.from(headers["X-Api-Key"]!.reveal()).toString(), TOKEN);
    assert.equal(auth.kind === "bearer" && Buffer.from(auth.token.reveal()).toString(), TOKEN);
    assert.doesNotMatch(JSON.stringify(describePublisherConfig(config)), new RegExp(TOKEN));
    assert.deepEqual(config.warnings, []);
    assert.notEqual(
      fingerprintOf(config),
      fingerprintOf({ ...config, destination: { ...httpOf(config), headers: {} } }),
    );
  });
});

const rejected: readonly (readonly [
  what: string,
  settings: Readonly<Record<string, string>>,
  message: RegExp,
])[] = [
  ["no URL", { "http.url": "" }, /http\.url: no value specified/],
  ["a URL without a scheme", { "http.url": "in.example" }, /http\.url: expected https:/],
  ["a URL of another scheme", { "http.url": "ftp://in.example" }, /http\.url: expected https:/],
  [
    "a URL with a password",
    { "http.url": "https://u:s3cret@in.example" },
    /http\.url: has a user(?!.*s3cret)/,
  ],
  ["a fragment", { "http.url": "https://in.example/#a" }, /http\.url: expected/],
  ["a header of the request's own", { "http.header.Content-Length": "3" }, /cannot be set/],
  ["a header that is no token", { "http.header.x y": "3" }, /not the name of a header/],
  ["an empty header", { "http.header.x": "" }, /http\.header\.x: no value/],
  ["a header of several lines", { "http.header.x": "a\n  b" }, /HTTP header/],
  ["bearer without a token", { "http.auth": "bearer" }, /http\.token: no value/],
  [
    "a weak example of a secret",
    { "http.auth": "bearer", "http.token": "an-example-token-not-for-production" },
    /example/,
  ],
  ["a user with a colon", { "http.auth": "basic", "http.user": "a:b" }, /http\.user: expected/],
  ["neither user nor password", { "http.auth": "basic" }, /http\.auth: is basic/],
  [
    "a secret that is no Base64",
    { "http.auth": "standard-webhooks", "http.secret": "whsec_-" },
    /http\.secret/,
  ],
  [
    "a signature of what is compressed",
    { "http.auth": "standard-webhooks", "http.secret": "whsec_c2VjcmV0", "http.compression": "gzip" },
    /http\.compression: must be none/,
  ],
  ["a template without the event", { "http.body": "template", "http.template.event": "{id}" }, /\{event\}/],
  ["an unknown escape", { "http.body": "template", "http.template.after": "\\x" }, /has "\\\\x"/],
  ["a status that is no number", { "http.accepted_statuses": "2xx" }, /http\.accepted_statuses/],
  ["a status in both lists", { "http.accepted_statuses": "200,400" }, /has 400/],
  [
    "TLS files for http",
    { "http.url": "http://localhost/", "http.tls_ca_file": "/dev/null" },
    /http\.url: is http/,
  ],
];

for (const [what, settings, message] of rejected)
  test(`rejects ${what}`, () => rejects(() => read(settings), message));

test("warns of keys that have no effect, and of plain http to another machine", () => {
  const { warnings } = read({
    "http.url": "http://in.example/",
    "http.token": "t",
    "http.template.before": "[",
  });
  assert.equal(warnings.length, 3);
  assert.match(warnings.join("\n"), /http\.url: events are sent unencrypted/);
  assert.match(warnings.join("\n"), /http\.token: has no effect: http\.auth is none/);
  assert.match(warnings.join("\n"), /http\.template\.before: has no effect: http\.body is ndjson/);
});

test("reads the fields to drop, and rejects a name where events have field ids", () => {
  assert.deepEqual(read({ "publisher.drop_fields": "user.email, ip" }).dropFields, ["user.email", "ip"]);
  for (const text of ["a..b", "a b", ",", ".a"])
    rejects(() => read({ "publisher.drop_fields": text }), /publisher\.drop_fields: expected fields/);
  const thrift = {
    destination: "collector",
    "collector.hostname": "c.example",
    "key.name": "K",
    "key.secret": "$TOKEN",
  };
  assert.deepEqual(read({ ...thrift, "publisher.drop_fields": "1.2" }).dropFields, ["1.2"]);
  rejects(() => read({ ...thrift, "publisher.drop_fields": "1, user.email" }), /"user\.email".*field ids/);
});
