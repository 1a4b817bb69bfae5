import assert from "node:assert/strict";
import { test } from "node:test";
import { missing, startProxy } from "../../support/balancers.ts";
import { insertDeadLetters } from "../../support/dead_letters.ts";
import { readBlocks } from "../../support/doc_page.ts";
import { HANG, ScriptedCollector } from "../../support/scripted_collector.ts";
import { addressOf, type Settings, Spool } from "../../support/spool.ts";
import { noBrowser, openTab, type Tab, textOf } from "./chromium.ts";

const LIMIT = { timeout: 600_000, skip: missing("nginx") || noBrowser };
const TOKEN = "0123456789abcdef";
const WITH_TOKEN: Settings = { "admin.token": TOKEN };

/** A publisher with a dead letter, whose collector does not answer. */
async function serve(settings: Settings = {}) {
  const spool = new Spool();
  const collector = await ScriptedCollector.open();
  collector.script = HANG;
  insertDeadLetters(spool.directory, ['{"secret":"of a user"}'], {
    status: 422,
    response: "a secret answer",
  });
  const publisher = spool.publisher({
    "collector.hostname": `127.0.0.1:${collector.port}`,
    "collector.timeout": "1h", // or /health would fail on a slow machine
    "admin.listen": "127.0.0.1:0",
    ...settings,
  });
  return {
    spool,
    url: await addressOf(publisher),
    [Symbol.asyncDispose]: async () => {
      await publisher[Symbol.asyncDispose]();
      await collector[Symbol.asyncDispose]();
      spool[Symbol.dispose]();
    },
  };
}

/** Waits until figures come that are newer than the page. */
async function seesNewEvents({ page }: Tab, spool: Spool): Promise<void> {
  await textOf(page, "#live", /^Live$/);
  const before = Number((await page.locator("#depth .figure").textContent())!.replaceAll(",", ""));
  spool.put(3);
  await textOf(page, "#depth .figure", new RegExp(`^${before + 3}$`));
}

async function signIn({ page }: Tab): Promise<void> {
  await page.getByLabel("Token").fill(TOKEN);
  await page.getByRole("button", { name: "Sign in" }).click();
}

test("is live behind a bare proxy_pass, and shows its clients figures only", LIMIT, async () => {
  await using main = await serve();
  await using nginx = await startProxy(`location / { proxy_pass ${main.url.origin}; }`);
  await using tab = await openTab(nginx.url);
  await seesNewEvents(tab, main.spool);
  await textOf(tab.page, "#dead-list", /422/);

  const stream = await fetch(new URL("/events", nginx.url));
  let text = "";
  for await (const chunk of stream.body!) {
    text += new TextDecoder().decode(chunk);
    if (text.split("\n\n").length > 2) break; // two updates of one stream
  }
  assert.doesNotMatch(text, /secret/);
  for (const path of ["/", "/events?once", "/health", "/depth", "/metrics"]) {
    const response = await fetch(new URL(path, nginx.url));
    assert.equal(response.status, 200, path);
    assert.doesNotMatch(await response.text(), /secret|<button|<form/, path);
  }
  for (const path of ["/retry", "/purge", "/login", "/logout"]) {
    const body = new URLSearchParams({ all: "yes", seen: String(Date.now()) });
    const response = await fetch(new URL(path, nginx.url), { method: "POST", body, redirect: "manual" });
    assert.equal(response.status, 403, path);
  }
  assert.equal(main.spool.deadLetters().length, 1);
  assert.deepEqual(tab.problems, []);
});

const [FROM_THE_DOCS] = readBlocks("docs/dashboard.md").filter(({ language }) => language === "nginx");

const PREFIXES: Readonly<Record<string, (origin: string) => string>> = {
  "a path prefix": (origin) => `location /ops/queue/ { proxy_pass ${origin}/; }`,
  "the lines of docs/dashboard.md": (origin) => FROM_THE_DOCS!.text.replace("http://127.0.0.1:9900", origin),
  "a path prefix, with the headers that nginx's manual names": (origin) =>
    `location /ops/queue/ {
      proxy_pass ${origin}/;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
    }`,
};

for (const [name, location] of Object.entries(PREFIXES))
  for (const tls of [false, true])
    test(
      `signs in, works and signs out behind ${name}, ${tls ? "with" : "without"} TLS in front`,
      LIMIT,
      async () => {
        await using main = await serve(WITH_TOKEN);
        await using nginx = await startProxy(location(main.url.origin), { tls });
        await using tab = await openTab(new URL("/ops/queue/", nginx.url));
        const { page } = tab;
        await signIn(tab);
        await seesNewEvents(tab, main.spool);
        assert.equal(new URL(page.url()).pathname, "/ops/queue/");
        const [cookie] = await page.context().cookies();
        assert.equal(cookie!.path, "/ops/queue");
        assert.equal(cookie!.secure, tls && location("").includes("X-Forwarded-Proto"));

        await page.locator("#dead-list summary").first().click();
        await page.getByRole("button", { name: "Retry event 1" }).click();
        await textOf(page, ".said", /^1 dead letter put back/);
        assert.deepEqual(main.spool.deadLetters(), []);

        await page.getByRole("button", { name: "Sign out" }).click();
        await page.getByLabel("Token").waitFor();
        await page.context().addCookies([cookie!]);
        await page.reload();
        await page.getByLabel("Token").waitFor(); // a copy of the cookie opens nothing
        const unexpected = tab.problems.filter((text) => !text.includes("401"));
        assert.deepEqual(unexpected, []);
      },
    );

test("works under a prefix without a slash, which only the browser knows of", LIMIT, async () => {
  await using main = await serve(WITH_TOKEN);
  await using nginx = await startProxy(`location /ops { proxy_pass ${main.url.origin}/; }`);
  await using tab = await openTab(new URL("/ops?before=99", nginx.url));
  await tab.page.waitForURL("**/ops/?before=99");
  await signIn(tab);
  await seesNewEvents(tab, main.spool);
  assert.equal(new URL(tab.page.url()).pathname, "/ops/");
  assert.equal((await fetch(new URL("/ops/livez", nginx.url))).status, 200);
  const unexpected = tab.problems.filter((text) => !text.includes("401"));
  assert.deepEqual(unexpected, []);
});

test("is kept up to date by polling behind a proxy that keeps streams back", LIMIT, async () => {
  await using main = await serve();
  const buffering = "proxy_ignore_headers X-Accel-Buffering; proxy_buffers 8 1m; proxy_buffer_size 1m;";
  await using nginx = await startProxy(`location / { proxy_pass ${main.url.origin}; ${buffering} }`);
  await using tab = await openTab(nginx.url);
  await seesNewEvents(tab, main.spool);
  assert.deepEqual(tab.problems, []);
});
