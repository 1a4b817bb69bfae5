import assert from "node:assert/strict";
import { test } from "node:test";
import { Hono } from "hono";
import { type AdminOptions, admin } from "../../../src/admin/app.ts";
import { SESSION_MS } from "../../../src/limits.ts";
import { countsOf, fieldOf, firstUpdate, pageOf, send } from "../../support/dashboard.ts";
import { buryEvents } from "../../support/dead_letters.ts";
import { newQueue } from "../../support/publisher.ts";

const NOWHERE = "http://127.0.0.1:9";
const LOCAL: AdminOptions = { isLocal: true };

test("is for this machine's own names where there is no token: another name may be a hostile site's", async () => {
  await using main = newQueue(NOWHERE);
  const app = admin(main.publisher, LOCAL);
  for (const host of ["localhost:9900", "127.0.0.1:9900", "127.1.2.3", "[::1]:9900", "main.localhost"])
    assert.equal((await app.request(`http://${host}/`)).status, 200, host);
  for (const host of [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "10.0.0.1",
    "notlocalhost",
  ])
    for (const path of ["/", "/events"]) {
      const response = await app.request(`http://${host}${path}`);
      assert.equal(response.status, 403, host);
      assert.match(await response.text(), /set admin\.token/);
    }
  for (const header of ["X-Forwarded-For", "Forwarded"]) {
    const response = await app.request("/", { headers: { [header]: "203.0.113.5" } });
    assert.equal(response.status, 403, "a proxy may ask for anybody");
  }
  assert.equal((await app.request("http://10.0.0.1/health")).status, 200, "other routes are as they were");
});

test("shows figures only, where it knows neither a token nor that it is local", async () => {
  await using main = newQueue(NOWHERE);
  buryEvents(main.directory, ['{"secret":"of a user"}'], { status: 422, answer: "a secret answer" });
  const app = new Hono().route("/queue", admin(main.publisher));

  for (const text of [await pageOf(app, "/queue"), await firstUpdate(app, "/queue/events")]) {
    assert.match(text, /422/);
    assert.doesNotMatch(text, /secret/);
    assert.doesNotMatch(text, /form_token|<button/);
  }
  for (const form_token of ["", "undefined"])
    assert.equal((await send(app, "/queue/purge", { form_token, id: "1" })).status, 403);
  assert.equal(countsOf(main).deadLetters, 1);
});

test("allows the page nothing but its own style and script", async () => {
  await using main = newQueue(NOWHERE);
  const app = admin(main.publisher, { token: "0123456789abcdef" });
  const signedIn = { headers: { Authorization: "Bearer 0123456789abcdef" } };
  const responses = [
    await app.request("/", signedIn),
    await app.request("/"),
    await app.request("/retry", { method: "POST", ...signedIn }),
    await send(app, "/login", { token: "wrong" }),
  ];
  assert.deepEqual(
    responses.map(({ status }) => status),
    [200, 401, 403, 401],
  );
  for (const { headers } of responses) {
    const policy = headers.get("Content-Security-Policy") ?? "";
    for (const rule of [
      "default-src 'none'",
      "frame-ancestors 'none'",
      "base-uri 'none'",
      "form-action 'self'",
    ])
      assert.ok(policy.split("; ").includes(rule), `${rule} in ${policy}`);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    assert.equal(headers.get("X-Content-Type-Options"), "nosniff");
    assert.equal(headers.get("Referrer-Policy"), "no-referrer");
    assert.equal(headers.get("Cache-Control"), "no-store");
  }
});

test("lets a browser in with the token, by a cookie that no script and no other site can use", async () => {
  await using main = newQueue(NOWHERE);
  buryEvents(main.directory, ['"a letter"']);
  const app = new Hono().route("/queue", admin(main.publisher, { token: "0123456789abcdef" }));

  const outside = await app.request("/queue");
  assert.equal(outside.status, 401);
  const login = await outside.text();
  assert.match(login, /action="\.\/queue\/login"/);
  assert.doesNotMatch(login, /a letter|form_token/);

  const wrong = await send(app, "/queue/login", { token: "0123456789abcdeX" });
  assert.deepEqual([wrong.status, wrong.headers.get("Set-Cookie")], [401, null]);
  assert.match(await wrong.text(), /This is not the publisher&#39;s token\./);
  const foreign = await send(
    app,
    "/queue/login",
    { token: "0123456789abcdef" },
    { Origin: "http://evil.example" },
  );
  assert.equal(foreign.status, 401);

  const right = await send(app, "/queue/login", { token: "0123456789abcdef" });
  assert.deepEqual([right.status, right.headers.get("Location")], [303, "../queue"]);
  const cookie = right.headers.get("Set-Cookie")!;
  assert.match(
    cookie,
    /^eventspool-main=\d+\.[^;]+; Max-Age=43200; Path=\/queue; HttpOnly; SameSite=Strict$/,
  );
  assert.doesNotMatch(cookie, /0123456789abcdef/);

  const headers = { Cookie: cookie.split(";")[0]! };
  const page = await (await app.request("/queue", { headers })).text();
  assert.match(page, /a letter/);
  const form_token = fieldOf(page, "form_token");
  assert.equal(
    (await send(app, "/queue/retry", { form_token, id: "1" })).status,
    401,
    "the cookie is needed too",
  );
  assert.equal((await send(app, "/queue/retry", { form_token, id: "1" }, headers)).status, 303);
  assert.deepEqual(countsOf(main), { depth: 1, deadLetters: 0 });

  const out = await send(app, "/queue/logout", { form_token }, headers);
  assert.match(out.headers.get("Set-Cookie")!, /^eventspool-main=; Max-Age=0; Path=\/queue/);
});

test("rejects a session that was made up, or has ended", async () => {
  await using main = newQueue(NOWHERE);
  const app = admin(main.publisher, { token: "0123456789abcdef" });
  const [pair] = (await send(app, "/login", { token: "0123456789abcdef" })).headers
    .get("Set-Cookie")!
    .split(";");
  const ask = async (cookie: string): Promise<number> =>
    (await app.request("/", { headers: { Cookie: cookie } })).status;
  const [, endsAt, signature] = /^eventspool-main=(\d+)\.(.+)$/.exec(pair!)!;

  assert.equal(await ask(`eventspool-main=${endsAt}.${signature}`), 200);
  assert.equal(await ask(`eventspool-main=${Number(endsAt) + 1}.${signature}`), 401);
  assert.equal(await ask(`eventspool-main=${endsAt}`), 401);
  const now = Date.now;
  Date.now = () => now() + SESSION_MS; // another clock, since no test waits for 12 hours
  try {
    assert.equal(await ask(`eventspool-main=${endsAt}.${signature}`), 401);
  } finally {
    Date.now = now;
  }
  const other = admin(main.publisher, { token: "another-token-of-16" });
  const theirs = await send(other, "/login", { token: "another-token-of-16" });
  assert.equal(await ask(theirs.headers.get("Set-Cookie")!.split(";")[0]!), 401);
});
