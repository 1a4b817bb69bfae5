import assert from "node:assert/strict";
import { test } from "node:test";
import type { Hono } from "hono";
import { admin } from "../../../src/admin/app.ts";
import { MAX_LIVE_PAGES } from "../../../src/admin/dashboard/live.ts";
import { serveApp } from "../../../src/server/serve.ts";
import { insertDeadLetters } from "../../support/dead_letters.ts";
import { eventually } from "../../support/eventually.ts";
import { newQueue } from "../../support/publisher.ts";

const NOWHERE = "http://127.0.0.1:9";
const LIMIT = { timeout: 300_000 };

interface Update {
  readonly boot: string;
  readonly now: number;
  readonly dead: number;
  readonly regions: Readonly<Record<string, string>>;
}

/** The updates of a stream, one after the other; leaving the loop closes it. */
async function* updatesOf(response: Response): AsyncGenerator<Update> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body!) {
    text += decoder.decode(chunk, { stream: true });
    const messages = text.split("\n\n");
    text = messages.pop()!;
    for (const message of messages) yield JSON.parse(/^data: (.+)$/m.exec(message)![1]!) as Update;
  }
}

/** The first update with a part of the page. */
async function updateOf(updates: AsyncGenerator<Update>, region: string): Promise<Update> {
  for (;;) {
    const { value, done } = await updates.next();
    assert.ok(!done, `an update of ${region}`);
    if (value.regions[region] !== undefined) return value;
  }
}

async function open(app: Hono): Promise<Response> {
  return app.request("/events");
}

test("sends all parts of the page first, and then those that change", LIMIT, async () => {
  await using main = newQueue(NOWHERE);
  const app = admin(main.publisher, { isLocal: true });
  const page = await (await app.request("/")).text();
  const updates = updatesOf(await open(app));

  const first = (await updates.next()).value as Update;
  for (const id of Object.keys(first.regions)) assert.ok(page.includes(`id="${id}"`), `${id} is on the page`);
  assert.ok(page.includes(`data-boot="${first.boot}"`));
  assert.match(first.regions["dead-count"]!, /^None/);

  main.queue.putMany([{ id: 1 }, { id: 2 }]);
  const second = await updateOf(updates, "depth");
  assert.match(second.regions.depth!, /<p class="figure">2<\/p>/);
  assert.deepEqual(
    [second.regions.badge, second.regions["dead-list"]],
    [undefined, undefined],
    "as they were",
  );
  await updates.return(undefined);
});

test("sends live pages a new dead letter, and removes one that is gone", LIMIT, async () => {
  await using main = newQueue(NOWHERE);
  const updates = updatesOf(await open(admin(main.publisher, { isLocal: true })));
  await updates.next();

  insertDeadLetters(main.directory, ['"a letter"']);
  const there = await updateOf(updates, "dead-list");
  assert.equal(there.dead, 1);
  assert.match(there.regions["dead-list"]!, /a letter/);

  await main.publisher.deadLetters.purge({ ids: [1] });
  const gone = await updateOf(updates, "dead-list");
  assert.deepEqual([gone.dead, gone.regions["dead-list"]], [0, ""]);
  await updates.return(undefined);
});

test("updates a limited number of pages, and one more when one has gone", LIMIT, async () => {
  await using main = newQueue(NOWHERE);
  const app = admin(main.publisher, { isLocal: true });
  const served = await serveApp(app, { host: "127.0.0.1", port: 0 });
  const url = `${served.address}/events`;
  const leave = new AbortController();
  const first = await fetch(url, { signal: leave.signal });
  const others = await Promise.all(Array.from({ length: MAX_LIVE_PAGES - 1 }, () => fetch(url)));
  assert.ok(others.every(({ status }) => status === 200));

  const rejected = await fetch(url);
  assert.deepEqual([rejected.status, rejected.headers.get("Retry-After")], [503, "10"]);
  await rejected.text();

  leave.abort();
  await first.text().catch(() => {}); // what an aborted body does
  const taken = await eventually("room for another page", async () => {
    const response = await fetch(url);
    if (response.status === 200) return response;
    return void (await response.text());
  });
  for (const response of [...others, taken]) await response.body!.cancel();
  await served.close();
});

test("gives no stream to a HEAD request", LIMIT, async () => {
  await using main = newQueue(NOWHERE);
  const app = admin(main.publisher, { isLocal: true });
  for (let asked = 0; asked <= MAX_LIVE_PAGES; asked++)
    assert.equal((await app.request("/events", { method: "HEAD" })).status, 200);
  const response = await open(app);
  assert.equal(response.status, 200);
  await response.body!.cancel();
});

test("ends its streams when the publisher stops, and says so in the last update", LIMIT, async () => {
  await using main = newQueue(NOWHERE);
  const app = admin(main.publisher, { isLocal: true });
  const stop = new AbortController();
  const running = main.publisher.run({ signal: stop.signal });
  const updates = updatesOf(await open(app));
  assert.match(((await updates.next()).value as Update).regions.badge!, /Healthy/);

  stop.abort();
  const badges: (string | undefined)[] = [];
  for await (const { regions } of updates) badges.push(regions.badge); // until the stream ends
  assert.match(badges.at(-1) ?? "", /Not publishing/);
  await running;

  let updatesAfter = 0;
  for await (const _ of updatesOf(await open(app))) updatesAfter++;
  assert.equal(updatesAfter, 1, "a page that comes back gets one update, and no stream");
});

test("gives no stream to another site, which could use up all", LIMIT, async () => {
  await using main = newQueue(NOWHERE);
  const app = admin(main.publisher, { isLocal: true });
  const response = await app.request("/events", { headers: { "Sec-Fetch-Site": "cross-site" } });
  assert.equal(response.status, 403);
});
