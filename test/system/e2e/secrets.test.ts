import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { outputOf, start } from "../../support/processes.ts";
import { serveHttp } from "../../support/servers.ts";
import { addressOf, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 600_000 };
const SECRET = "correct-horse-battery-staple-0123456789";
const TOKEN = "open-sesame-0123456789";
const BASE64 = Buffer.from(SECRET).toString("base64");

/** All forms in which a secret could show. */
const FORMS = [SECRET, BASE64, BASE64.slice(0, 20), Buffer.from(SECRET).toString("hex"), TOKEN];

function assertNothingShows(text: string): void {
  for (const form of FORMS) assert.ok(!text.includes(form), `a secret in: ${text}`);
}

for (const [name, status] of [
  ["delivers", 200],
  ["is rejected its key", 403],
  ["is rejected its events", 400],
  ["is put off", 503],
] as const) {
  test(`shows no secret in logs and routes while it ${name}, not even with --debug`, LIMIT, async () => {
    using spool = new Spool();
    await using collector = await serveHttp((response) => response.writeHead(status).end("no"));
    const settings = {
      "collector.hostname": collector.url.replace("http://", ""),
      "key.secret": BASE64,
      "admin.listen": "127.0.0.1:0",
      "admin.token": TOKEN,
      "metrics.log_if_unconfigured": "true",
    };
    spool.put(3);
    await using publisher = spool.publisher(settings, ["--debug"]);
    const admin = await addressOf(publisher);
    await eventually("a request", () => collector.requests.length > 0);
    for (const path of ["/health", "/depth", "/metrics", "/livez", "/nothing"]) {
      const bare = await fetch(new URL(path, admin));
      assertNothingShows(await bare.text());
      const response = await fetch(new URL(path, admin), { headers: { Authorization: `Bearer ${TOKEN}` } });
      assertNothingShows(`${await response.text()} ${JSON.stringify([...response.headers])}`);
    }
    await stop(publisher);
    assertNothingShows(outputOf(publisher));
    assertNothingShows(JSON.stringify(collector.requests));
  });
}

const BROKEN: Readonly<Record<string, string>> = {
  "no-base64.ini": `[event-publisher:main]\ncollector.hostname = c\nkey.name = K\nkey.secret = ${SECRET}!\n`,
  "misspelt.ini": `[event-publisher:main]\ncollector.hostname = c\nkey.name = K\nkey.secrets = ${BASE64}\n`,
  "alone.ini": `[event-publisher:main]\ncollector.hostname = c\nkey.name = K\n${BASE64}\n`,
  "twice.ini": `[event-publisher:main]\nkey.secret = ${BASE64}\nkey.secret = ${BASE64}\n`,
  "wrapped.ini": `[event-publisher:main]\ncollector.hostname = c\nkey.name = K\nkey.secret = ${BASE64.slice(0, 24)}\n${BASE64.slice(24)}\n`,
  "other-section.ini": `[event-publisher:web]\nkey.secret = ${BASE64}\n`,
  "no-section.ini": `key.secret = ${BASE64}\n`,
  "short-token.ini": `[event-publisher:main]\ncollector.hostname = c\nkey.name = K\nkey.secret = ${BASE64}\nadmin.token = ${TOKEN} \u00e9\n`,
  "unquoted.toml": `[event-publisher.main]\ncollector.hostname = "c"\nkey.secret = ${BASE64}\n`,
  "unclosed.toml": `[event-publisher.main]\nkey.secret = "${BASE64}\nkey.name = "K"\n`,
  "list.toml": `[event-publisher.main]\ncollector.hostname = "c"\nkey.name = "K"\nkey.secret = ["${BASE64}"]\n`,
};

test("shows no secret when it rejects a configuration, whatever is wrong with it", LIMIT, async () => {
  using spool = new Spool();
  await Promise.all(
    Object.entries(BROKEN).map(async ([name, text]) => {
      const path = join(spool.directory, name);
      writeFileSync(path, text, { mode: 0o600 });
      for (const args of [[path], ["--check", path]]) {
        await using publisher = start("src/commands/publisher.ts", args);
        assert.equal(await publisher.ended, 2, name);
        assertNothingShows(outputOf(publisher));
      }
    }),
  );
});

test("shows no secret when it is made to crash", LIMIT, async () => {
  using spool = new Spool();
  const settings = { "collector.hostname": "127.0.0.1:9", "key.secret": BASE64, "admin.listen": "off" };
  spool.put(1);
  await using publisher = spool.publisher(settings, ["--debug"]);
  await publisher.line(/retrying in/);
  publisher.signal("SIGABRT");
  assert.notEqual(await publisher.ended, 0);
  assertNothingShows(outputOf(publisher));
});
