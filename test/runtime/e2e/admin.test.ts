import assert from "node:assert/strict";
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { heldBack, ScriptedCollector } from "../../support/scripted_collector.ts";
import { addressOf, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 300_000 };

async function readJson(url: URL): Promise<Record<string, unknown>> {
  return (await fetch(url)).json() as Promise<Record<string, unknown>>;
}

test("shows the depth of the queue and the progress of delivery on the admin port", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  const held = heldBack();
  collector.script = held.script;
  spool.put(5);
  await using publisher = spool.publisher({
    "collector.hostname": `127.0.0.1:${collector.port}`,
    "admin.listen": "127.0.0.1:0",
  });
  const admin = await addressOf(publisher);
  const read = (path: string) => readJson(new URL(path, admin));

  await eventually("a batch in flight", () => collector.batches.length === 1);
  const { oldest_event_age_seconds: age, subscriptions, ...depth } = await read("/depth");
  assert.deepEqual(depth, {
    queue: "main",
    depth: 5,
    max_events: 1_000_000,
    leased: 5,
    dead_letters: 0,
    dead_letter_bytes: 0,
    dropped_dead_letters: 0,
    rejected_puts: { full: 0, too_large: 0, invalid: 0, storage: 0 },
    retained_bytes: 0,
  });
  const [{ name, depth: ownDepth, leased }] = subscriptions as [Record<string, unknown>];
  assert.deepEqual({ name, ownDepth, leased }, { name: "default", ownDepth: 5, leased: 5 });
  assert.ok(typeof age === "number" && age > 0);
  assert.equal((await read("/health")).in_flight, 1);

  held.release();
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  const health = await read("/health");
  assert.deepEqual([health.status, health.queue, health.depth, health.delivered], ["ok", "main", 0, 5]);
  assert.ok(Date.parse(String(health.last_success)) <= Date.now());
  assert.equal((await read("/depth")).oldest_event_age_seconds, null);
  assert.equal((await read("/livez")).status, "ok");
  assert.equal((await read("/readyz")).status, "ready");
  assert.equal(await stop(publisher), 0);
});

test("serves the admin routes on a unix socket", LIMIT, async () => {
  using spool = new Spool();
  const socketPath = join(spool.directory, "admin.sock");
  await using publisher = spool.publisher({
    "collector.hostname": "127.0.0.1:9",
    "admin.listen": socketPath,
  });
  await publisher.line(/"Admin at /);
  const [response] = (await once(get({ socketPath, path: "/depth" }), "response")) as [IncomingMessage];
  assert.equal((JSON.parse(await text(response)) as { depth: number }).depth, 0);
  assert.equal(await stop(publisher), 0);
});
