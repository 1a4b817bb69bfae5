import assert from "node:assert/strict";
import { test } from "node:test";
import { Hono } from "hono";
import { type AdminOptions, admin } from "../../src/admin/admin.ts";
import { EventQueue } from "../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../src/serializers/json.ts";
import { buryEvents } from "../support/dead_letters.ts";
import { newQueue, type PublishedQueue } from "../support/publisher.ts";

const NOWHERE = "http://127.0.0.1:9";
const LOCAL: AdminOptions = { isLocal: true };

async function textOf(app: Hono, path = "/"): Promise<string> {
  const response = await app.request(path);
  assert.equal(response.status, 200, path);
  return response.text();
}

/** What is left of a page for its readers: no style, no script, no tags, and white space as one space. */
function words(page: string): string {
  const shown = page.replaceAll(/<(style|script)>.*?<\/\1>/gs, " ").replaceAll(/<[^>]*>/g, " ");
  return shown.replaceAll(/\s+/g, " ");
}

function fieldOf(page: string, name: string): string {
  const [, value] = new RegExp(`name="${name}" value="([^"]*)"`).exec(page) ?? [];
  assert.ok(value !== undefined, `a field ${name}`);
  return value;
}

/** Sends a form as the page would. */
async function send(
  app: Hono,
  path: string,
  fields: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return app.request(path, { method: "POST", body: new URLSearchParams(fields), headers });
}

function depths(main: PublishedQueue): { depth: number; deadLetters: number } {
  const { depth, deadLetters } = main.publisher.status().state;
  return { depth, deadLetters };
}

test("shows how full the queue is, and how the other queues of the directory are", async () => {
  await using main = newQueue(NOWHERE, { max_queue_size: "50" });
  main.queue.putMany([{ id: 1 }, { id: 2 }]);
  using audit = new EventQueue("audit", serializeJsonEvent, { directory: main.directory, maxEvents: 700 });
  audit.putMany([{ id: 1 }, { id: 2 }, { id: 3 }]);

  const page = words(await textOf(admin(main.publisher)));

  assert.match(page, /Depth 2 of 50 \(4 %\)/);
  assert.match(page, /audit 3 700 /);
  assert.match(page, /main this one 2 50 /);
  assert.match(page, /Not publishing/);
});

test("says why the health is not ok", async () => {
  await using main = newQueue(NOWHERE, { max_queue_size: "1" });
  main.queue.put({});
  const page = words(await textOf(admin(main.publisher)));
  assert.match(page, /The queue is full \(1 of at most 1 events\): puts are refused\./);
});

test("shows a dead letter with its answer and its event, digit for digit", async () => {
  await using main = newQueue(NOWHERE);
  buryEvents(main.directory, ['{"id":12345678901234567890,"tags":["a"]}'], {
    status: 400,
    answer: "no such noun",
  });

  const page = await textOf(admin(main.publisher, LOCAL));

  assert.match(
    page,
    /\{\n {2}&quot;id&quot;: 12345678901234567890,\n {2}&quot;tags&quot;: \[\n {4}&quot;a&quot;\n {2}\]\n\}/,
  );
  assert.match(words(page), /400 no such noun event 1,/);
  assert.match(words(page), /1 event that the collector refused by itself/);
});

test("takes nothing of a hostile event or answer for markup, and lets no character turn the text", async () => {
  await using main = newQueue(NOWHERE);
  const hostile = `</pre><script>alert(1)</script><img src=x onerror="alert(2)">' \u202e \u0000`;
  buryEvents(main.directory, [JSON.stringify({ hostile }), hostile, new Uint8Array([0xff, 0xfe, 0x3c])], {
    status: 422,
    answer: hostile,
  });

  const app = admin(main.publisher, LOCAL);
  for (const text of [await textOf(app), await firstUpdate(app)]) {
    assert.doesNotMatch(text, /<script>alert/);
    assert.doesNotMatch(text, /<img/);
    for (const unseen of ["\u202e", "\u0000"]) assert.ok(!text.includes(unseen));
    assert.match(text, /&lt;script&gt;alert\(1\)/);
  }
});

test("shows the beginning of a large event, and says where all of it is", async () => {
  await using main = newQueue(NOWHERE);
  buryEvents(main.directory, [JSON.stringify({ text: "x".repeat(100_000) })]);
  const page = await textOf(admin(main.publisher, LOCAL));
  assert.ok(page.length < 50_000, `${page.length} characters`);
  assert.match(words(page), /The first 4,000 characters\. All of it: eventspool dead show 1/);
});

test("shows twenty dead letters on a page, the newest first", async () => {
  await using main = newQueue(NOWHERE);
  buryEvents(
    main.directory,
    Array.from({ length: 45 }, (_, index) => `"letter ${index + 1}"`),
  );
  const app = admin(main.publisher, LOCAL);
  const idsOn = (page: string): number[] =>
    Array.from(page.matchAll(/data-key="(\d+)"/g), ([, id]) => Number(id));
  const range = (from: number, to: number): number[] =>
    Array.from({ length: from - to + 1 }, (_, index) => from - index);

  const first = await textOf(app);
  assert.deepEqual(idsOn(first), range(45, 26));
  assert.match(first, /href="\.\/\?before=26#dead"/);
  assert.deepEqual(idsOn(await textOf(app, "/?before=26")), range(25, 6));
  const last = await textOf(app, "/?before=6");
  assert.deepEqual(idsOn(last), range(5, 1));
  assert.doesNotMatch(last, /before=/);
  assert.deepEqual(idsOn(await textOf(app, "/?before=nonsense")), range(45, 26));
});

test("puts a dead letter back into the queue", async () => {
  await using main = newQueue(NOWHERE);
  buryEvents(main.directory, ["1", "2", "3"]);
  const app = admin(main.publisher, LOCAL);
  const form_token = fieldOf(await textOf(app), "form_token");

  const response = await send(app, "/retry", { form_token, id: "2" });

  assert.deepEqual([response.status, response.headers.get("Location")], [303, "./?retried=1#dead"]);
  assert.deepEqual(depths(main), { depth: 1, deadLetters: 2 });
  assert.match(words(await textOf(app, "/?retried=1")), /1 dead letter put back into the queue\./);
});

test("puts all dead letters back that had died when the page was made, and none that died since", async () => {
  await using main = newQueue(NOWHERE);
  buryEvents(main.directory, ["1", "2", "3"]);
  const app = admin(main.publisher, LOCAL);
  const page = await textOf(app);
  const fields = { form_token: fieldOf(page, "form_token"), seen: fieldOf(page, "seen"), all: "yes" };
  while (Date.now() <= Number(fields.seen)); // the clock's next millisecond
  buryEvents(main.directory, ["4"]);

  const response = await send(app, "/retry", fields);

  assert.equal(response.headers.get("Location"), "./?retried=3#dead");
  assert.deepEqual(depths(main), { depth: 3, deadLetters: 1 });
});

test("puts back what the queue has room for, and says that it is full", async () => {
  await using main = newQueue(NOWHERE, { max_queue_size: "2" });
  buryEvents(main.directory, ["1", "2", "3"]);
  const app = admin(main.publisher, LOCAL);
  const page = await textOf(app);
  const fields = { form_token: fieldOf(page, "form_token"), seen: fieldOf(page, "seen"), all: "yes" };

  const response = await send(app, "/retry", fields);

  assert.equal(response.headers.get("Location"), "./?retried=2&full=1#dead");
  assert.deepEqual(depths(main), { depth: 2, deadLetters: 1 });
  assert.match(words(await textOf(app, "/?retried=2&full=1")), /The queue is full: try the others later\./);
});

test("deletes a dead letter, or all of them, for good", async () => {
  await using main = newQueue(NOWHERE);
  buryEvents(main.directory, ["1", "2", "3"]);
  const app = admin(main.publisher, LOCAL);
  const page = await textOf(app);
  const form_token = fieldOf(page, "form_token");

  assert.equal(
    (await send(app, "/purge", { form_token, id: "2" })).headers.get("Location"),
    "./?purged=1#dead",
  );
  assert.deepEqual(depths(main), { depth: 0, deadLetters: 2 });
  const again = await send(app, "/purge", { form_token, id: "2" });
  assert.equal(again.headers.get("Location"), "./?purged=0#dead");
  await send(app, "/purge", { form_token, all: "yes", seen: fieldOf(page, "seen") });
  assert.deepEqual(depths(main), { depth: 0, deadLetters: 0 });
});

test("does nothing for a form that is not its own page's", async () => {
  await using main = newQueue(NOWHERE);
  buryEvents(main.directory, ["1"]);
  const app = admin(main.publisher, LOCAL);
  const form_token = fieldOf(await textOf(app), "form_token");
  const attempts: [string, Record<string, string>, Record<string, string>][] = [
    ["no form token", { id: "1" }, {}],
    ["another form token", { id: "1", form_token: "0".repeat(64) }, {}],
    ["another site, says the browser", { id: "1", form_token }, { "Sec-Fetch-Site": "cross-site" }],
    ["another port of this host", { id: "1", form_token }, { "Sec-Fetch-Site": "same-site" }],
    ["another origin", { id: "1", form_token }, { Origin: "http://evil.example" }],
    ["another host", { id: "1", form_token }, { Host: "evil.example" }],
  ];
  for (const [what, fields, headers] of attempts)
    for (const path of ["/retry", "/purge"]) {
      const url = headers.Host === undefined ? path : `http://${headers.Host}${path}`;
      const response = await send(app, url, fields, headers);
      assert.equal(response.status, 403, `${path}: ${what}`);
    }
  assert.deepEqual(depths(main), { depth: 0, deadLetters: 1 });

  for (const headers of [
    { "Sec-Fetch-Site": "same-origin", Origin: "null" },
    { Origin: "http://localhost" },
    {},
  ])
    assert.equal((await send(app, "/retry", { id: "77", form_token }, headers)).status, 303);
});

test("does nothing for a form that names no dead letter, is no form, or is too large", async () => {
  await using main = newQueue(NOWHERE);
  buryEvents(main.directory, ["1"]);
  const app = admin(main.publisher, LOCAL);
  const form_token = fieldOf(await textOf(app), "form_token");
  for (const fields of [
    {},
    { id: "x" },
    { id: "-1" },
    { all: "yes" },
    { all: "yes", seen: "soon" },
    { all: "no" },
  ])
    assert.equal((await send(app, "/purge", { form_token, ...fields })).status, 400, JSON.stringify(fields));
  const json = await app.request("/purge", { method: "POST", body: JSON.stringify({ form_token, id: "1" }) });
  assert.equal(json.status, 403);
  assert.equal((await send(app, "/purge", { form_token, id: "1", more: "x".repeat(5_000) })).status, 413);
  assert.deepEqual(depths(main), { depth: 0, deadLetters: 1 });
});

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
  assert.equal((await app.request("http://10.0.0.1/health")).status, 200, "other routes are as they were");
});

test("shows figures only, where it knows neither a token nor that it is local", async () => {
  await using main = newQueue(NOWHERE);
  buryEvents(main.directory, ['{"secret":"of a user"}'], { status: 422, answer: "a secret answer" });
  const app = new Hono().route("/queue", admin(main.publisher));

  for (const text of [await textOf(app, "/queue"), await firstUpdate(app, "/queue/events")]) {
    assert.match(text, /422/);
    assert.doesNotMatch(text, /secret/);
    assert.doesNotMatch(text, /form_token|<button/);
  }
  for (const form_token of ["", "undefined"])
    assert.equal((await send(app, "/queue/purge", { form_token, id: "1" })).status, 403);
  assert.equal(depths(main).deadLetters, 1);
});

test("works under a prefix: every address of the page is relative to it", async () => {
  await using main = newQueue(NOWHERE);
  buryEvents(main.directory, ["1"]);
  const app = new Hono().route("/ops/queue", admin(main.publisher, LOCAL));
  const page = await textOf(app, "/ops/queue");
  const resolve = (path: string, from: string): string => new URL(path, `http://localhost${from}`).pathname;

  const [, events] = /data-events="([^"]+)"/.exec(page)!;
  assert.equal(resolve(events!, "/ops/queue"), "/ops/queue/events");
  const actions = Array.from(page.matchAll(/action="([^"]+)"/g), ([, action]) =>
    resolve(action!, "/ops/queue"),
  );
  assert.deepEqual(actions, ["/ops/queue/retry", "/ops/queue/purge"]);
  const response = await send(app, actions[0]!, { form_token: fieldOf(page, "form_token"), id: "1" });
  assert.equal(resolve(response.headers.get("Location")!, actions[0]!), "/ops/queue");
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
  assert.deepEqual(depths(main), { depth: 1, deadLetters: 0 });

  const out = await send(app, "/queue/logout", { form_token }, headers);
  assert.match(out.headers.get("Set-Cookie")!, /^eventspool-main=; Max-Age=0; Path=\/queue/);
});

test("refuses a session that was made up, or has ended", async () => {
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
  const other = admin(main.publisher, { token: "another-token-of-16" });
  const theirs = await send(other, "/login", { token: "another-token-of-16" });
  assert.equal(await ask(theirs.headers.get("Set-Cookie")!.split(";")[0]!), 401);
});

test("answers 503, and says why, when the queue's file cannot be read", async () => {
  const main = newQueue(NOWHERE);
  const app = admin(main.publisher, LOCAL);
  await main[Symbol.asyncDispose]();
  const response = await app.request("/");
  assert.equal(response.status, 503);
  assert.match(await response.text(), /The queue&#39;s file cannot be read/);
});

async function firstUpdate(app: Hono, path = "/events"): Promise<string> {
  const response = await app.request(path);
  assert.equal(response.headers.get("Content-Type"), "text/event-stream");
  const reader = response.body!.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  const [, data] = /^data: (.+)$/m.exec(new TextDecoder().decode(value))!;
  return Object.values((JSON.parse(data!) as { regions: Record<string, string> }).regions).join("\n");
}
