import assert from "node:assert/strict";
import { test } from "node:test";
import { Hono } from "hono";
import { admin } from "../../../src/admin/app.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { fieldOf, firstUpdate, LOCAL, NOWHERE, pageOf, send, words } from "../../support/dashboard.ts";
import { insertDeadLetters } from "../../support/dead_letters.ts";
import { newQueue } from "../../support/publisher.ts";

test("shows how full the queue is, and how the other queues of the directory are", async () => {
  await using main = newQueue(NOWHERE, { max_queue_size: "50" });
  main.queue.putMany([{ id: 1 }, { id: 2 }]);
  using audit = new EventQueue("audit", serializeJsonEvent, { directory: main.directory, maxEvents: 700 });
  audit.putMany([{ id: 1 }, { id: 2 }, { id: 3 }]);

  const page = words(await pageOf(admin(main.publisher)));

  assert.match(page, /Depth 2 of 50 \(4 %\)/);
  assert.match(page, /audit 3 700 /);
  assert.match(page, /main this one 2 50 /);
  assert.match(page, /Not publishing/);
});

test("says why the health is not ok", async () => {
  await using main = newQueue(NOWHERE, { max_queue_size: "1" });
  main.queue.put({});
  const page = words(await pageOf(admin(main.publisher)));
  assert.match(page, /The queue is full \(1 of at most 1 event\): puts are rejected\./);
});

test("shows a dead letter with its response and its event, digit for digit", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, ['{"id":12345678901234567890,"tags":["a"]}'], {
    status: 400,
    response: "no such noun",
  });

  const page = await pageOf(admin(main.publisher, LOCAL));

  assert.match(
    page,
    /\{\n {2}&quot;id&quot;: 12345678901234567890,\n {2}&quot;tags&quot;: \[\n {4}&quot;a&quot;\n {2}\]\n\}/,
  );
  assert.match(words(page), /400 no such noun event 1,/);
  assert.match(words(page), /1 event that the destination rejected by itself/);
});

test("treats nothing of a hostile event or response as markup, and lets no character turn the text", async () => {
  await using main = newQueue(NOWHERE);
  const hostile = `</pre><script>alert(1)</script><img src=x onerror="alert(2)">' \u202e \u0000`;
  insertDeadLetters(
    main.directory,
    [JSON.stringify({ hostile }), hostile, new Uint8Array([0xff, 0xfe, 0x3c])],
    {
      status: 422,
      response: hostile,
    },
  );

  const app = admin(main.publisher, LOCAL);
  for (const text of [await pageOf(app), await firstUpdate(app)]) {
    assert.doesNotMatch(text, /<script>alert/);
    assert.doesNotMatch(text, /<img/);
    for (const unseen of ["\u202e", "\u0000"]) assert.ok(!text.includes(unseen));
    assert.match(text, /&lt;script&gt;alert\(1\)/);
  }
});

test("shows the beginning of a large event, and says where all of it is", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, [JSON.stringify({ text: "x".repeat(100_000) })]);
  const page = await pageOf(admin(main.publisher, LOCAL));
  assert.ok(page.length < 50_000, `${page.length} characters`);
  assert.match(
    words(page),
    /The first 4,000 characters\. All of it: eventspool dead show 1 --queue-name main --directory \/\S+ /,
  );
});

test("shows dead letters by reason: 500 equal ones are one line with a count", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(
    main.directory,
    Array.from({ length: 500 }, (_, index) => `${index + 1}`),
  );
  insertDeadLetters(main.directory, ["501"], { status: 400, response: "no verb" });
  const app = admin(main.publisher, LOCAL);

  const page = await pageOf(app);
  assert.equal(page.match(/<details class="letter">/g)?.length, 2);
  assert.match(words(page), /422 \{&quot;error&quot;:&quot;noun: expected a word&quot;\} 500 events , last /);
  assert.match(words(page), /400 no verb event 501,/);
  assert.match(words(page), /501 events that the destination rejected by themselves, for 2 reasons\./);
  insertDeadLetters(main.directory, ["502"]);
  assert.match(words(await firstUpdate(app)), /501 events , last /);
  assert.doesNotMatch(await pageOf(admin(main.publisher)), /expected a word/, "not for everybody to see");
});

test("shows twenty single dead letters on a page, the newest first", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(
    main.directory,
    Array.from({ length: 45 }, (_, index) => `"letter ${index + 1}"`),
  );
  const app = admin(main.publisher, LOCAL);
  const idsOn = (page: string): number[] =>
    Array.from(page.matchAll(/data-key="(\d+)"/g), ([, id]) => Number(id));
  const range = (from: number, to: number): number[] =>
    Array.from({ length: from - to + 1 }, (_, index) => from - index);

  const first = await pageOf(app, "/?each");
  assert.deepEqual(idsOn(first), range(45, 26));
  assert.match(first, /href="\.\/\?before=26#dead"/);
  assert.deepEqual(idsOn(await pageOf(app, "/?before=26")), range(25, 6));
  const last = await pageOf(app, "/?before=6");
  assert.deepEqual(idsOn(last), range(5, 1));
  assert.doesNotMatch(last, /before=/);
  assert.equal((await app.request("/?before=nonsense")).status, 200);
});

test("works under a prefix: every address of the page is relative to it", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, ["1"]);
  const app = new Hono().route("/ops/queue", admin(main.publisher, LOCAL));
  const page = await pageOf(app, "/ops/queue");
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

test("responds 503, and says why, when the queue's file cannot be read", async () => {
  const main = newQueue(NOWHERE);
  const app = admin(main.publisher, LOCAL);
  await main[Symbol.asyncDispose]();
  const response = await app.request("/");
  assert.equal(response.status, 503);
  assert.match(await response.text(), /The queue&#39;s file cannot be read/);
});
