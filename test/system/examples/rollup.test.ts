import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { jetstream } from "@nats-io/jetstream";
import Database from "better-sqlite3";
import { eventually } from "../../support/eventually.ts";
import { type NatsClient, type NatsServer, NO_NATS, openNats, startNats } from "../../support/nats.ts";
import { type Program, start } from "../../support/processes.ts";
import { stop } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const LIMIT = { skip: NO_NATS, timeout: 600_000 };
const EVENTS = { name: "EVENTS", subjects: ["events.>"] };
const KILLS = 6;

const TEN = Date.UTC(2026, 10, 25, 10);
const HOUR_MS = 3_600_000;

/** An event as `serializeV2Event` writes it, its fields by their ids in examples/thrift/event.thrift. */
function v2(action: string, noun: string, atMs: number): string {
  return JSON.stringify({ 1: { str: "web" }, 2: { str: action }, 3: { str: noun }, 4: { i64: atMs } });
}

function v2j(action: string, noun: string, atMs: number): string {
  return JSON.stringify({ action, noun, client_timestamp: atMs });
}

function startRollup(server: NatsServer, database: string): Program {
  return start("examples/rollup.ts", [], { NATS_SERVERS: server.address, ROLLUP_DB: database });
}

async function publish({ nc }: NatsClient, events: readonly string[]): Promise<void> {
  const client = jetstream(nc, { timeout: 120_000 });
  await Promise.all(events.map((event) => client.publish("events.main", event)));
}

interface Row {
  readonly hour: string;
  readonly action: string;
  readonly noun: string;
  readonly count: number;
}

/** What is in the rollup; nothing while there is none. */
function rowsOf(database: string): Row[] {
  try {
    using reader = Object.assign(new Database(database, { readonly: true }), {
      [Symbol.dispose]: () => reader.close(),
    });
    return reader.prepare<[], Row>("SELECT * FROM rollup ORDER BY hour, action, noun").all();
  } catch {
    return [];
  }
}

function totalOf(database: string): number {
  return rowsOf(database).reduce((total, { count }) => total + count, 0);
}

test("counts Thrift and JSON events by hour, action and noun, and what is neither as ?", LIMIT, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream(EVENTS);
  await publish(client, [
    v2("view", "page", TEN),
    v2j("view", "page", TEN + HOUR_MS - 1),
    v2j("view", "page", TEN + HOUR_MS),
    v2("vote", "comment", TEN),
    v2("constructor", "__proto__", TEN),
    JSON.stringify({ action: 1, client_timestamp: TEN }),
    "no JSON",
    "null",
  ]);
  using directory = temporaryDirectory();
  const database = join(directory.path, "rollup.db");
  await using rollup = startRollup(server, database);
  await eventually("all eight events", () => totalOf(database) === 8);
  assert.equal(await stop(rollup), 0);

  const [ten, eleven] = ["2026-11-25T10:00:00.000Z", "2026-11-25T11:00:00.000Z"];
  const rows = rowsOf(database);
  assert.deepEqual(
    rows.filter(({ hour, action }) => [ten, eleven].includes(hour) && action !== "?"),
    [
      { hour: ten, action: "1", noun: "?", count: 1 },
      { hour: ten, action: "constructor", noun: "__proto__", count: 1 },
      { hour: ten, action: "view", noun: "page", count: 2 },
      { hour: ten, action: "vote", noun: "comment", count: 1 },
      { hour: eleven, action: "view", noun: "page", count: 1 },
    ],
  );
  // The other two have no time of their own: that of the stream stands in, and the hour may end between them.
  const unknown = rows.filter(({ action, noun }) => action === "?" && noun === "?");
  assert.equal(
    unknown.reduce((total, { count }) => total + count, 0),
    2,
  );
});

test("counts each event once although it is killed at random moments", LIMIT, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await client.makeStream(EVENTS);
  using directory = temporaryDirectory();
  const database = join(directory.path, "rollup.db");
  let published = 0;
  for (let round = 0; round < KILLS; round++) {
    const before = totalOf(database);
    await using rollup = startRollup(server, database);
    await rollup.line(/^Counting EVENTS/);
    const events = Array.from({ length: 3_000 }, (_, n) => v2(`action${n % 7}`, `noun${n % 5}`, TEN + n));
    published += events.length;
    const publishing = publish(client, events);
    if (round % 2 === 0) await eventually("some counts", () => totalOf(database) > before);
    else await sleep(Math.random() * 150);
    await stop(rollup, "SIGKILL");
    await publishing;
  }
  await using rollup = startRollup(server, database);
  await rollup.line(/^Counting EVENTS/); // from now on it can be stopped
  await eventually("all events", () => totalOf(database) >= published);
  assert.equal(await stop(rollup), 0);
  assert.equal(totalOf(database), published);
  assert.equal((await client.jsm.streams.info("EVENTS")).state.messages, published);
});

test(
  "continues at its position after the server was unreachable or its consumer was deleted, and stops without it",
  LIMIT,
  async () => {
    await using server = await startNats();
    {
      await using client = await openNats(server);
      await client.makeStream(EVENTS);
      await publish(client, [v2("view", "page", TEN)]);
    }
    using directory = temporaryDirectory();
    const database = join(directory.path, "rollup.db");
    await using rollup = startRollup(server, database);
    await eventually("one event", () => totalOf(database) === 1);
    await server.kill();
    await server.start();
    await using client = await openNats(server);
    await publish(client, [v2("view", "page", TEN)]);
    await eventually("two events", () => totalOf(database) === 2);
    await client.jsm.consumers.delete("EVENTS", "rollup");
    await publish(client, [v2("view", "page", TEN)]);
    await eventually("three events", () => totalOf(database) === 3);
    await server.kill();
    assert.equal(await stop(rollup), 0);
  },
);
