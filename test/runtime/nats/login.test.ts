import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { credsAuthenticator, nkeyAuthenticator, nkeys } from "@nats-io/transport-node";
import { Secret } from "../../../src/config/credentials.ts";
import type { NatsLogin } from "../../../src/config/nats_config.ts";
import { readBlocks } from "../../support/doc_page.ts";
import { NO_NATS, openNats, startNats } from "../../support/nats.ts";
import { messages, publisher, RUNNING } from "../../support/nats_publisher.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { makeAccounts } from "./accounts.ts";

const skip = NO_NATS;
const NO_TLS =
  skip ||
  (spawnSync("openssl", ["version"]).status !== 0 && "openssl is not installed: it makes the certificate");
const STREAM = { name: "EVENTS", subjects: ["events.>"] };

const secret = (text: string): Secret => new Secret(Buffer.from(text));

function rejection(address: string): object {
  const keys = "nats.user, nats.token, nats.nkey_seed or nats.credentials_file";
  const reason = `NATS at ${address} rejected the login: Authorization Violation: see ${keys}`;
  return { kind: "misconfigured", reason, isUnsent: true };
}

for (const [what, config, login, other] of [
  [
    "a user and password",
    'authorization { user: "u", password: "p" }',
    { user: "u", password: secret("p") },
    { user: "u", password: secret("q") },
  ],
  ["a token", 'authorization { token: "t" }', { token: secret("t") }, { token: secret("s") }],
] as ReadonlyArray<[string, string, NatsLogin, NatsLogin]>) {
  test(`logs in with ${what}, and reports wrong ones`, { skip }, async () => {
    await using server = await startNats(config);
    await using client = await openNats(server, "token" in login ? { token: "t" } : { user: "u", pass: "p" });
    await client.makeStream(STREAM);
    await using right = publisher(server, { login });
    assert.equal((await right.publishAll(messages(["a"]), RUNNING)).failure, undefined);
    await using wrong = publisher(server, { login: other });
    assert.deepEqual((await wrong.publishAll(messages(["b"]), RUNNING)).failure, rejection(server.address));
    await using none = publisher(server);
    assert.deepEqual((await none.publishAll(messages(["c"]), RUNNING)).failure, rejection(server.address));
    assert.deepEqual(
      (await client.read("EVENTS")).map(({ text }) => text),
      ["a"],
    );
  });
}

test("logs in with an nkey", { skip }, async () => {
  const user = nkeys.createUser();
  await using server = await startNats(`authorization { users: [ { nkey: ${user.getPublicKey()} } ] }`);
  await using client = await openNats(server, { authenticator: nkeyAuthenticator(user.getSeed()) });
  await client.makeStream(STREAM);
  await using right = publisher(server, { login: { nkeySeed: new Secret(user.getSeed()) } });
  assert.equal((await right.publishAll(messages(["a"]), RUNNING)).failure, undefined);
  await using other = publisher(server, { login: { nkeySeed: new Secret(nkeys.createUser().getSeed()) } });
  assert.deepEqual((await other.publishAll(messages(["b"]), RUNNING)).failure, rejection(server.address));
  await using none = publisher(server, { login: { nkeySeed: secret("SUNOSEED") } });
  const { failure } = await none.publishAll(messages(["c"]), RUNNING);
  assert.equal(failure?.kind, "misconfigured");
  assert.match(failure.reason, /nats\.nkey_seed/);
  assert.doesNotMatch(failure.reason, /SUNOSEED/);
});

test("logs in with a credentials file, which is read for each connection", { skip }, async () => {
  using directory = temporaryDirectory();
  const credentialsFile = join(directory.path, "user.creds");
  const { config, credentials } = makeAccounts();
  await using server = await startNats(config);
  await using client = await openNats(server, {
    authenticator: credsAuthenticator(Buffer.from(credentials)),
  });
  await client.makeStream(STREAM);
  await using nats = publisher(server, { login: { credentialsFile } });

  const { failure: missing } = await nats.publishAll(messages(["a"]), RUNNING);
  assert.equal(missing?.kind, "misconfigured");
  assert.match(missing.reason, /user\.creds/);
  writeFileSync(credentialsFile, makeAccounts().credentials);
  assert.deepEqual((await nats.publishAll(messages(["b"]), RUNNING)).failure, rejection(server.address));
  writeFileSync(credentialsFile, "no credentials");
  const { failure: broken } = await nats.publishAll(messages(["b"]), RUNNING);
  assert.equal(broken?.kind, "misconfigured");
  assert.match(broken.reason, /unable to parse credentials/);
  writeFileSync(credentialsFile, credentials);
  assert.equal((await nats.publishAll(messages(["c"]), RUNNING)).failure, undefined);
});

test("names the subject that a user may not publish or subscribe to, and says that messages may be stored", {
  skip,
}, async () => {
  const permissions = (allowed: string): string =>
    `authorization { users: [ { user: "u", password: "p", permissions: { ${allowed} } } ] }`;
  await using deaf = await startNats(permissions('publish: ">", subscribe: "events.>"'));
  const login = { user: "u", password: secret("p") };
  await using toDeaf = publisher(deaf, { login });
  const { failure } = await toDeaf.publishAll(messages(["a"]), RUNNING);
  assert.deepEqual([failure?.kind, failure?.isTransport], ["misconfigured", true]); // no response can come
  assert.match(failure!.reason, /does not allow this user to subscribe to _INBOX\..*see nats\.inbox_prefix/);

  await using mute = await startNats(permissions('publish: "$JS.API.>", subscribe: "_INBOX.>"'));
  await using toMute = publisher(mute, { login });
  assert.deepEqual((await toMute.publishAll(messages(["a", "b"]), RUNNING)).failure, {
    kind: "misconfigured",
    reason: "the server does not allow this user to publish to events.v2: allow it, or see nats.subject",
    isTransport: true,
  });
});

test("needs only the permissions in the docs, and one less if it may not list the streams", {
  skip,
}, async () => {
  const page = readBlocks("docs/jetstream.md").find(({ text }) => text.startsWith("permissions {"))!;
  const users = (permissions: string): string =>
    `authorization { users: [ { user: "u", password: "p", ${permissions} }, { user: "admin", password: "a" } ] }`;
  const login = { user: "u", password: secret("p") };
  await using server = await startNats(users(page.text));
  await using nats = publisher(server, { login });
  const { failure: missing } = await nats.publishAll(messages(["a"]), RUNNING);
  assert.match(missing!.reason, /^no stream takes subject events\.v2/);
  await using client = await openNats(server, { user: "admin", pass: "a" });
  await client.makeStream(STREAM);
  assert.equal((await nats.publishAll(messages(["a"]), RUNNING)).failure, undefined);

  await using strict = await startNats(users(page.text.replace(', "$JS.API.STREAM.NAMES"', "")));
  await using toStrict = publisher(strict, { login });
  const { failure } = await toStrict.publishAll(messages(["a"]), RUNNING);
  assert.equal(failure?.kind, "unavailable");
  assert.match(failure.reason, /^subject events\.v2: no stream responds, and the streams cannot be listed: /);
});

test("receives responses in a configured inbox, if the user may subscribe to no other", {
  skip,
}, async () => {
  const users = `{ user: "u", password: "p", permissions: { publish: ["events.>"], subscribe: ["_INBOX_u.>"] } }`;
  await using server = await startNats(
    `authorization { users: [ ${users}, { user: "admin", password: "a" } ] }`,
  );
  await using client = await openNats(server, { user: "admin", pass: "a" });
  await client.makeStream(STREAM);
  const login = { user: "u", password: secret("p") };
  await using nats = publisher(server, { login, inboxPrefix: "_INBOX_u" });
  assert.equal((await nats.publishAll(messages(["a"]), RUNNING)).failure, undefined);
});

test("uses TLS, and rejects certificates that it does not trust", { skip: NO_TLS }, async () => {
  using directory = temporaryDirectory();
  const [certFile, keyFile] = ["cert.pem", "key.pem"].map((name) => join(directory.path, name)) as [
    string,
    string,
  ];
  const names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
  const args = [
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "2",
    "-subj",
    "/CN=localhost",
    "-addext",
    names,
  ];
  spawnSync("openssl", ["req", ...args, "-keyout", keyFile, "-out", certFile]);
  await using server = await startNats(`tls { cert_file: "${certFile}", key_file: "${keyFile}" }`);
  await using client = await openNats(server, { tls: { caFile: certFile } });
  await client.makeStream(STREAM);
  const servers = [server.address.replace("127.0.0.1", "localhost")];

  const tls = { caFile: certFile, certFile: undefined, keyFile: undefined };
  await using right = publisher(server, { servers, tls });
  assert.equal((await right.publishAll(messages(["a"]), RUNNING)).failure, undefined);
  await using wary = publisher(server, { servers, tls: { ...tls, caFile: undefined } });
  const { failure } = await wary.publishAll(messages(["b"]), RUNNING);
  assert.equal(failure?.kind, "misconfigured");
  assert.match(failure.reason, /see tls:\/\/ in nats\.servers, and nats\.tls_ca_file/);

  await using plain = await startNats();
  await using strict = publisher(plain, { tls });
  const { failure: rejected } = await strict.publishAll(messages(["c"]), RUNNING);
  assert.equal(rejected?.kind, "misconfigured");
  assert.match(rejected.reason, /server does not support 'tls'/);
});
