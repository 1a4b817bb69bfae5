import assert from "node:assert/strict";
import { test } from "node:test";
import { Hono } from "hono";
import { admin } from "../../../src/admin/app.ts";
import { SESSION_MS } from "../../../src/admin/dashboard/access.ts";
import { MAX_WRONG_TOKENS_PER_ADDRESS } from "../../../src/server/admin_routes.ts";
import { countsOf, fieldOf, firstUpdate, LOCAL, NOWHERE, pageOf, send } from "../../support/dashboard.ts";
import { insertDeadLetters } from "../../support/dead_letters.ts";
import { newQueue } from "../../support/publisher.ts";

const ROUTES = ["/", "/events", "/events?once", "/health", "/depth", "/metrics", "/livez", "/readyz"];

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
    for (const path of ROUTES) {
      const response = await app.request(`http://${host}${path}`);
      assert.equal(response.status, 403, `${host}${path}`);
      assert.match(await response.text(), /set admin\.token/);
    }
  const forged = { headers: { "X-Forwarded-For": "127.0.0.1", Forwarded: "for=127.0.0.1;host=localhost" } };
  for (const path of ROUTES)
    assert.equal((await app.request(`http://evil.example${path}`, forged)).status, 403, "a page can say so");
});

test("shows a request that came through a proxy figures only, whatever the proxy adds", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, ['{"secret":"of a user"}'], { status: 422, response: "a secret answer" });
  const app = admin(main.publisher, LOCAL);
  const form_token = fieldOf(await pageOf(app), "form_token");
  const proxies: Record<string, string>[] = [
    { Forwarded: "for=203.0.113.5" },
    { "X-Forwarded-For": "203.0.113.5" },
    { "X-Forwarded-Host": "ops.example" },
    { "X-Forwarded-Proto": "https" },
    { "X-Forwarded-Prefix": "/ops" },
    { "X-Real-IP": "127.0.0.1" },
    { "x-real-ip": "" },
    { Via: "1.1 vegur" },
    { "CF-Connecting-IP": "203.0.113.5" },
  ];
  for (const headers of proxies) {
    const name = JSON.stringify(headers);
    for (const path of ["/", "/events?once", "/health", "/depth", "/metrics"]) {
      const response = await app.request(path, { headers });
      assert.equal(response.status, 200, `${path} ${name}`);
      const text = await response.text();
      assert.doesNotMatch(text, /secret/, `${path} ${name}`);
      assert.doesNotMatch(text, /<button|form_token|<form/, `${path} ${name}`);
    }
    for (const path of ["/retry", "/purge", "/logout", "/login"]) {
      const response = await send(app, path, { form_token, id: "1", token: "x" }, headers);
      assert.equal(response.status, 403, `${path} ${name}`);
    }
  }
  assert.equal(countsOf(main).deadLetters, 1);
  assert.match(await pageOf(app), /secret/, "without a proxy it is there");
});

test("shows figures only, where it knows neither a token nor that it is local", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, ['{"secret":"of a user"}'], { status: 422, response: "a secret answer" });
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

test("allows the page only its own style and script", async () => {
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
  insertDeadLetters(main.directory, ['"a letter"']);
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
  // Without a Path the browser takes that of the form's address, as it knows it: no proxy can make it wrong.
  assert.match(cookie, /^eventspool-main=[0-9a-f]{64}; Max-Age=43200; HttpOnly; SameSite=Strict$/);
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

  const stream = await app.request("/queue/events", { headers });
  const out = await send(app, "/queue/logout", { form_token }, headers);
  assert.match(out.headers.get("Set-Cookie")!, /^eventspool-main=; Max-Age=0$/);
  assert.equal((await app.request("/queue", { headers })).status, 401, "a copy of the cookie is of no use");
  assert.match(await stream.text(), /^data: /, "and what was opened with it ends");
});

test("makes the cookie Secure where the browser speaks TLS, with a proxy or with us", async () => {
  await using main = newQueue(NOWHERE);
  const app = admin(main.publisher, { token: "0123456789abcdef" });
  const cookieOf = async (url: string, headers: Record<string, string>): Promise<string> => {
    const response = await send(app, url, { token: "0123456789abcdef" }, headers);
    assert.equal(response.status, 303);
    return response.headers.get("Set-Cookie")!;
  };
  for (const [url, headers] of [
    ["https://ops.example/login", {}],
    ["/login", { "X-Forwarded-Proto": "https" }],
    ["/login", { "X-Forwarded-Proto": "https, http" }],
    ["/login", { Forwarded: 'for="[2001:db8::1]";proto=https;by=10.0.0.1' }],
  ] as const)
    assert.match(await cookieOf(url, headers), /; Secure/, JSON.stringify(headers));
  for (const headers of [{}, { "X-Forwarded-Proto": "http" }, { Forwarded: "proto=http" }])
    assert.doesNotMatch(await cookieOf("/login", headers as Record<string, string>), /Secure/);
});

test("takes a form whose origin only the proxy knows, and none of another site", async () => {
  await using main = newQueue(NOWHERE);
  const app = admin(main.publisher, { token: "0123456789abcdef" });
  const ask = async (headers: Record<string, string>): Promise<number> =>
    (await send(app, "http://127.0.0.1:9900/login", { token: "0123456789abcdef" }, headers)).status;
  const Origin = "http://ops.example";
  assert.equal(await ask({ Origin, "X-Forwarded-For": "203.0.113.5" }), 303);
  assert.equal(await ask({ Origin, "X-Forwarded-Host": "ops.example" }), 303);
  assert.equal(await ask({ Origin, "X-Forwarded-Host": "other.example" }), 401);
  assert.equal(await ask({ Origin }), 401);
  assert.equal(await ask({ Origin, "X-Forwarded-For": "203.0.113.5", "Sec-Fetch-Site": "cross-site" }), 401);
});

test("slows down who guesses the token, by form or header, and never locks the right one out", async () => {
  await using main = newQueue(NOWHERE);
  const token = "0123456789abcdef";
  const app = admin(main.publisher, { token });
  const byForm = async (text: string): Promise<Response> => send(app, "/login", { token: text });
  const byHeader = async (text: string): Promise<Response> =>
    app.request("/health", { headers: { Authorization: `Bearer ${text}` } });
  for (let tries = 0; tries < MAX_WRONG_TOKENS_PER_ADDRESS; tries++)
    assert.equal((await (tries % 2 === 0 ? byForm : byHeader)(`wrong-${tries}`)).status, 401);

  for (const ask of [byForm, byHeader]) {
    const throttled = await ask("wrong-again");
    assert.equal(throttled.status, 429);
    assert.ok(Number(throttled.headers.get("Retry-After")) > 0);
    assert.match(await throttled.text(), /Too many wrong tokens/);
  }
  assert.equal((await byHeader(token)).status, 200);
  assert.equal((await byForm(token)).status, 303);
});

test("rejects a session that was made up, or has ended", async () => {
  await using main = newQueue(NOWHERE);
  const app = admin(main.publisher, { token: "0123456789abcdef" });
  const [pair] = (await send(app, "/login", { token: "0123456789abcdef" })).headers
    .get("Set-Cookie")!
    .split(";");
  const ask = async (cookie: string): Promise<number> =>
    (await app.request("/", { headers: { Cookie: cookie } })).status;
  assert.equal(await ask(pair!), 200);
  assert.equal(await ask(`${pair!.slice(0, -1)}${pair!.endsWith("0") ? "1" : "0"}`), 401);
  assert.equal(await ask("eventspool-main="), 401);
  assert.equal(await ask("eventspool-main=constructor"), 401);
  const now = Date.now;
  Date.now = () => now() + SESSION_MS; // another clock, since no test waits for 12 hours
  try {
    assert.equal(await ask(pair!), 401);
  } finally {
    Date.now = now;
  }
  const other = admin(main.publisher, { token: "another-token-of-16" });
  const theirs = await send(other, "/login", { token: "another-token-of-16" });
  assert.equal(await ask(theirs.headers.get("Set-Cookie")!.split(";")[0]!), 401);
});
