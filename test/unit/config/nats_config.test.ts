import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openSection } from "../../../src/config/config_file.ts";
import { type NatsDestinationConfig, readNatsSink } from "../../../src/config/nats_config.ts";
import {
  describePublisherConfig,
  type PublisherConfig,
  parsePublisherConfig,
} from "../../../src/config/publisher_config.ts";
import { inTemporaryDirectory, rejects } from "./support.ts";

function read(...lines: string[]): PublisherConfig {
  const text = ["[event-publisher:main]", "destination = nats", ...lines].join("\n");
  return parsePublisherConfig(text, { file: "f.ini", env: {} });
}

function natsOf(...lines: string[]): NatsDestinationConfig {
  const { destination } = read(...lines);
  assert.ok(destination.kind === "nats");
  return destination;
}

const text = (secret: { reveal(): Uint8Array }): string => Buffer.from(secret.reveal()).toString();

test("only the servers are required", () => {
  const config = read("nats.servers = localhost");
  const { subject, ...rest } = config.destination as NatsDestinationConfig;
  assert.deepEqual(rest, {
    kind: "nats",
    servers: ["localhost:4222"],
    login: undefined,
    tls: undefined,
    inboxPrefix: "_INBOX",
    timeoutMs: 10_000,
    stream: undefined,
    messages: "event",
    batchVersion: "2",
  });
  assert.equal(subject.withName("main")(Buffer.of()), "events.main");
  assert.deepEqual(config.warnings, []);
});

test("several servers are read, and tls:// in one requires TLS", () => {
  const plain = natsOf("nats.servers = nats://a.example:4333, b.example,[::1]:4222");
  assert.deepEqual(plain.servers, ["a.example:4333", "b.example:4222", "[::1]:4222"]);
  assert.equal(plain.tls, undefined);
  const none = { caFile: undefined, certFile: undefined, keyFile: undefined };
  assert.deepEqual(natsOf("nats.servers = tls://a.example, b.example").tls, none);
});

test("unencrypted servers on other machines give a warning", () => {
  assert.deepEqual(read("nats.servers = localhost, n.example").warnings, [
    "f.ini:3: [event-publisher:main] nats.servers: events are sent to another machine, unencrypted unless the server requires TLS: use tls://",
  ]);
  assert.deepEqual(read("nats.servers = tls://n.example").warnings, []);
});

test("wrong servers are rejected, and a password in them is not shown", () => {
  rejects(() => read(), /nats\.servers: no value specified/);
  rejects(() => read("nats.servers = ws://a"), /expected nats:\/\/host:port, tls:\/\/host:port or host:port/);
  rejects(
    () => read("nats.servers = a:70000"),
    /nats\.servers: expected a port from 1 to 65535, got "70000"$/,
  );
  assert.throws(
    () => read("nats.servers = nats://u:hunter2@a"),
    (error: Error) => /without user and password/.test(error.message) && !/hunter2/.test(error.message),
  );
});

test("there are four ways to log in, and secrets can be in files", () => {
  inTemporaryDirectory((directory) => {
    const file = join(directory, "secret");
    writeFileSync(file, "s3cret\n");
    const login = (...lines: string[]) => natsOf("nats.servers = a", ...lines).login;
    const user = login("nats.user = u", `nats.password_file = ${file}`);
    assert.ok(user !== undefined && "user" in user);
    assert.deepEqual([user.user, text(user.password)], ["u", "s3cret"]);
    const token = login("nats.token = s3cret");
    assert.ok(token !== undefined && "token" in token);
    assert.equal(text(token.token), "s3cret");
    const seed = login(`nats.nkey_seed_file = ${file}`);
    assert.ok(seed !== undefined && "nkeySeed" in seed);
    assert.equal(text(seed.nkeySeed), "s3cret");
    assert.deepEqual(login(`nats.credentials_file = ${file}`), { credentialsFile: file });

    rejects(() => login("nats.user = u"), /nats\.user: needs nats\.password/);
    rejects(() => login("nats.token = t", "nats.nkey_seed = s"), /has several logins: keep one of/);
    rejects(
      () => login("nats.credentials_file = /nowhere"),
      /cannot read the file "\/nowhere": the file does not exist/,
    );
    const key = `nats.tls_key_file = ${file}`;
    rejects(() => login(key), /nats\.tls_cert_file: needs nats\.tls_key_file/);
    const tls = { caFile: file, certFile: file, keyFile: file };
    const lines = [key, `nats.tls_cert_file = ${file}`, `nats.tls_ca_file = ${file}`];
    assert.deepEqual(natsOf("nats.servers = a", ...lines).tls, tls);
  });
});

test("wrong names of streams and inboxes, and a field in the subject of a batch are rejected", () => {
  const servers = "nats.servers = localhost";
  rejects(() => read(servers, "nats.stream = a.b"), /nats\.stream: expected the name of a stream/);
  rejects(() => read(servers, "nats.inbox_prefix = a.>"), /nats\.inbox_prefix: expected letters/);
  rejects(() => read(servers, "nats.messages = row"), /nats\.messages: expected event or batch/);
  const batch = "nats.messages = batch";
  rejects(() => read(servers, batch, "nats.subject = e.{topic}"), /nats\.subject: contains a field/);
  const config = natsOf(servers, batch, "nats.subject = e.{queue}", "nats.batch_version = 2j");
  assert.deepEqual([config.messages, config.batchVersion], ["batch", "2j"]);
  assert.deepEqual(read(servers, "nats.batch_version = 2j").warnings, [
    "f.ini:4: [event-publisher:main] nats.batch_version: has no effect with nats.messages = event",
  ]);
});

test("--check shows a NATS destination without its secrets", () => {
  const config = read("nats.servers = localhost", "nats.token = hunter2", "nats.stream = EVENTS");
  const described = describePublisherConfig(config);
  assert.equal(described.destination, "nats");
  assert.deepEqual(described.nats_servers, ["localhost:4222"]);
  assert.deepEqual([described.nats_login, described.nats_stream], ["token", "EVENTS"]);
  assert.equal(described.nats_subject, "events.{queue}");
  assert.doesNotMatch(JSON.stringify(described), /hunter2/);
});

test("a collector's sink has the name of the key in its subjects", () => {
  const read = (...lines: string[]) =>
    readNatsSink(openSection(["[event-collector]", ...lines].join("\n"), ["event-collector"], { env: {} }));
  const sink = read("nats.servers = localhost", "nats.stream = EVENTS", "nats.token = t");
  assert.deepEqual([sink.kind, sink.stream, sink.servers], ["nats", "EVENTS", ["localhost:4222"]]);
  assert.equal(sink.subject.withName("web")(Buffer.of()), "events.web");
  const byTopic = read("nats.servers = localhost", "nats.subject = e.{key}.{topic}.{queue}");
  assert.equal(byTopic.subject.withName("web")(Buffer.from('{"topic":"vote"}')), "e.web.vote._");
  rejects(() => read("nats.servers = localhost", "nats.subject = e.>"), /such as events\.\{key\}/);
});
