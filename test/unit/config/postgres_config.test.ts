import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { describeCollectorConfig, parseCollectorConfig } from "../../../src/config/collector_config.ts";
import type { PostgresConfig } from "../../../src/config/postgres_config.ts";
import {
  describePublisherConfig,
  type PublisherConfig,
  parsePublisherConfig,
} from "../../../src/config/publisher_config.ts";
import { inTemporaryDirectory, rejects } from "./support.ts";

function read(...lines: string[]): PublisherConfig {
  const text = ["[event-publisher:main]", "destination = postgres", ...lines].join("\n");
  return parsePublisherConfig(text, { file: "f.ini", env: {} });
}

function postgresOf(...lines: string[]): PostgresConfig {
  const { destination } = read(...lines);
  assert.ok(destination.kind === "postgres");
  return destination;
}

function addressOf(url: string): object {
  const { password, ...address } = postgresOf(`postgres.url = ${url}`).address;
  return { ...address, password: password && Buffer.from(password.reveal()).toString() };
}

test("needs the URL alone", () => {
  const { address, ...rest } = postgresOf("postgres.url = postgres://u@localhost/db");
  assert.deepEqual(rest, {
    kind: "postgres",
    tls: undefined,
    table: "events",
    partition: "none",
    timeoutMs: 10_000,
  });
  assert.deepEqual(address, {
    host: "localhost",
    port: 5432,
    database: "db",
    user: "u",
    password: undefined,
    sslMode: undefined,
  });
  assert.deepEqual(read("postgres.url = postgres://u@localhost/db").warnings, []);
});

test("reads each form of a URL", () => {
  const address = {
    host: "h",
    port: 5432,
    database: "d",
    user: "u",
    password: undefined,
    sslMode: undefined,
  };
  assert.deepEqual(addressOf("postgresql://u:p%40%3A%23w@h:6000/d?sslmode=verify-full"), {
    ...address,
    port: 6_000,
    password: "p@:#w",
    sslMode: "verify-full",
  });
  assert.deepEqual(addressOf("postgres://u@[::1]:6000/d"), { ...address, host: "::1", port: 6_000 });
  assert.deepEqual(addressOf("postgres://u@/d?host=/run/postgresql"), {
    ...address,
    host: "/run/postgresql",
  });
  assert.deepEqual(addressOf("postgres://u@:5433/d?host=/run"), { ...address, host: "/run", port: 5_433 });
});

test("rejects a URL that is none, and never shows it", () => {
  const urls: [url: string, problem: RegExp][] = [
    ["", /expected postgres:\/\/USER:PASSWORD@HOST:PORT\/DATABASE/],
    ["mysql://u:hidden@h/d", /expected postgres/],
    ["postgres://h/d", /expected postgres/],
    ["postgres://u:hidden@h", /expected postgres/],
    ["postgres://u:hidden@h/d/e", /expected postgres/],
    ["postgres://u:hidden@h:70000/d", /expected postgres/],
    ["postgres://u:hidden@a,b:1/d", /expected postgres/],
    ["postgres://u:hidden%zz@h/d", /write %25/],
    ["postgres://u:1/hidden@h/d", /%2F, %3F and %40 for/],
    ["postgres://u:1?hidden@h/d", /%2F, %3F and %40 for/],
    ["postgres://u:p@1/x?hidden@h/d", /%2F, %3F and %40 for/],
    ["postgres://u:p@1/x#hidden@h/d", /%2F, %3F and %40 for/],
    [
      "postgres://u:hidden@h/d?sslmode=prefer",
      /sslmode must be disable, require or verify-full, got "prefer"/,
    ],
    ["postgres://u:hidden@h/d?pgbouncer=true", /parameter "pgbouncer"/],
  ];
  for (const [url, problem] of urls) {
    const withoutSecret = new RegExp(`^(?!.*hidden).*${problem.source}`);
    rejects(() => read(`postgres.url = ${url}`), withoutSecret);
  }
});

test("takes the URL from a file, and shows no secret of it", () => {
  inTemporaryDirectory((directory) => {
    writeFileSync(join(directory, "url"), "postgres://u:hidden@localhost/db\n");
    const config = read(`postgres.url_file = ${join(directory, "url")}`);
    const shown = JSON.stringify([config, describePublisherConfig(config)]);
    assert.match(shown, /"postgres_user":"u"/);
    assert.doesNotMatch(shown, /hidden/);
  });
});

test("warns of events that another machine could read, or get", () => {
  const warningsOf = (url: string) => read(`postgres.url = ${url}`).warnings.join();
  assert.match(warningsOf("postgres://u@h/d"), /unencrypted .*sslmode=verify-full/);
  assert.match(warningsOf("postgres://u@h/d?sslmode=require"), /does not check who answers/);
  assert.equal(warningsOf("postgres://u@h/d?sslmode=verify-full"), "");
  assert.equal(warningsOf("postgres://u@/d?host=/run"), "");
});

test("rejects names of tables that are none, and TLS files without TLS", () => {
  const url = "postgres.url = postgres://u@localhost/db";
  assert.equal(postgresOf(url, "postgres.table = app.events_2").table, "app.events_2");
  for (const table of ['e"x', "a.b.c", "Events", "1a", "a.", "x".repeat(55)])
    rejects(() => read(url, `postgres.table = ${table}`), /postgres\.table: expected TABLE or SCHEMA\.TABLE/);
  rejects(() => read(url, "postgres.partition = week"), /expected none or day/);
  const file = "postgres.tls_ca_file = /etc/hostname";
  rejects(() => read(`${url}?sslmode=disable`, file), /tls_ca_file: has no effect/);
});

test("a collector's sink has the same keys, and none of a file's", () => {
  const parse = (...lines: string[]) =>
    parseCollectorConfig(["[event-collector]", "key.K = aGk=", "sink = postgres", ...lines].join("\n"), {
      env: {},
    });
  const keys = [
    "postgres.url = postgres://u:hidden@localhost/db",
    "postgres.partition = day",
    "postgres.timeout = 3s",
  ];
  const config = parse(...keys);
  assert.deepEqual(config.sink, postgresOf(...keys));
  assert.doesNotMatch(JSON.stringify(describeCollectorConfig(config)), /hidden/);
  rejects(() => parse(...keys, "output = e.db"), /output: is for a file .*the sink is postgres/);
});
