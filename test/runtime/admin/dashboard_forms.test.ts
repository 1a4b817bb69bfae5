import assert from "node:assert/strict";
import { test } from "node:test";
import { admin } from "../../../src/admin/app.ts";
import { countsOf, fieldOf, LOCAL, NOWHERE, pageOf, send, words } from "../../support/dashboard.ts";
import { insertDeadLetters } from "../../support/dead_letters.ts";
import { newQueue } from "../../support/publisher.ts";

test("puts a dead letter back into the queue", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, ["1", "2", "3"]);
  const app = admin(main.publisher, LOCAL);
  const form_token = fieldOf(await pageOf(app), "form_token");

  const response = await send(app, "/retry", { form_token, id: "2" });

  assert.deepEqual([response.status, response.headers.get("Location")], [303, "./?retried=1#dead"]);
  assert.deepEqual(countsOf(main), { depth: 1, deadLetters: 2 });
  assert.match(words(await pageOf(app, "/?retried=1")), /1 dead letter put back into the queue\./);
});

test("puts all dead letters back that had died when the page was made, and none that died since", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, ["1", "2", "3"]);
  const app = admin(main.publisher, LOCAL);
  const page = await pageOf(app);
  const fields = { form_token: fieldOf(page, "form_token"), seen: fieldOf(page, "seen"), all: "yes" };
  while (Date.now() <= Number(fields.seen)); // the clock's next millisecond
  insertDeadLetters(main.directory, ["4"]);

  const response = await send(app, "/retry", fields);

  assert.equal(response.headers.get("Location"), "./?retried=3#dead");
  assert.deepEqual(countsOf(main), { depth: 3, deadLetters: 1 });
});

test("puts back what the queue has room for, and says that it is full", async () => {
  await using main = newQueue(NOWHERE, { max_queue_size: "2" });
  insertDeadLetters(main.directory, ["1", "2", "3"]);
  const app = admin(main.publisher, LOCAL);
  const page = await pageOf(app);
  const fields = { form_token: fieldOf(page, "form_token"), seen: fieldOf(page, "seen"), all: "yes" };

  const response = await send(app, "/retry", fields);

  assert.equal(response.headers.get("Location"), "./?retried=2&full=1#dead");
  assert.deepEqual(countsOf(main), { depth: 2, deadLetters: 1 });
  assert.match(words(await pageOf(app, "/?retried=2&full=1")), /The queue is full: retry the others later\./);
});

test("retries and deletes the dead letters of one reason, and no other", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, ["1", "2"], { status: 422, response: "no noun in 1" });
  insertDeadLetters(main.directory, ["3", "4"], { status: 422, response: "no verb" });
  const app = admin(main.publisher, LOCAL);
  const page = await pageOf(app);
  const fields = { form_token: fieldOf(page, "form_token"), seen: fieldOf(page, "seen") };
  insertDeadLetters(main.directory, ["5"], { status: 400, response: "no noun in 1" });

  const retried = await send(app, "/retry", { ...fields, like: "2" });
  assert.equal(retried.headers.get("Location"), "./?retried=2#dead");
  assert.deepEqual(countsOf(main), { depth: 2, deadLetters: 3 });
  const purged = await send(app, "/purge", { ...fields, like: "4" });
  assert.equal(purged.headers.get("Location"), "./?purged=2#dead");
  const gone = await send(app, "/purge", { ...fields, like: "4" });
  assert.equal(gone.headers.get("Location"), "./?purged=0#dead");
  assert.deepEqual(countsOf(main), { depth: 2, deadLetters: 1 });
});

test("deletes a dead letter, or all of them", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, ["1", "2", "3"]);
  const app = admin(main.publisher, LOCAL);
  const page = await pageOf(app);
  const form_token = fieldOf(page, "form_token");

  assert.equal(
    (await send(app, "/purge", { form_token, id: "2" })).headers.get("Location"),
    "./?purged=1#dead",
  );
  assert.deepEqual(countsOf(main), { depth: 0, deadLetters: 2 });
  const again = await send(app, "/purge", { form_token, id: "2" });
  assert.equal(again.headers.get("Location"), "./?purged=0#dead");
  await send(app, "/purge", { form_token, all: "yes", seen: fieldOf(page, "seen") });
  assert.deepEqual(countsOf(main), { depth: 0, deadLetters: 0 });
});

test("does nothing for a form that is not its own page's", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, ["1"]);
  const app = admin(main.publisher, LOCAL);
  const form_token = fieldOf(await pageOf(app), "form_token");
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
  assert.deepEqual(countsOf(main), { depth: 0, deadLetters: 1 });

  for (const headers of [
    { "Sec-Fetch-Site": "same-origin", Origin: "null" },
    { Origin: "http://localhost" },
    {},
  ])
    assert.equal((await send(app, "/retry", { id: "77", form_token }, headers)).status, 303);
});

test("does nothing for a form that names no dead letter, is no form, or is too large", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, ["1"]);
  const app = admin(main.publisher, LOCAL);
  const form_token = fieldOf(await pageOf(app), "form_token");
  for (const fields of [
    {},
    { id: "x" },
    { id: "-1" },
    { all: "yes" },
    { all: "yes", seen: "soon" },
    { all: "no" },
    { like: "1" },
  ])
    assert.equal((await send(app, "/purge", { form_token, ...fields })).status, 400, JSON.stringify(fields));
  const json = await app.request("/purge", { method: "POST", body: JSON.stringify({ form_token, id: "1" }) });
  assert.equal(json.status, 403);
  assert.equal((await send(app, "/purge", { form_token, id: "1", more: "x".repeat(5_000) })).status, 413);
  assert.deepEqual(countsOf(main), { depth: 0, deadLetters: 1 });
});
