import assert from "node:assert/strict";
import { test } from "node:test";
import { type EventRows, EventTable, type InsertResult } from "../../../src/postgres/event_table.ts";
import { queueUuid } from "../../support/batches.ts";
import { NO_POSTGRES, postgresConfig, startPostgres } from "../../support/postgres.ts";

const RUNNING = new AbortController().signal;

/** Events with these texts, whose ids begin at `firstId`. */
function rows(texts: readonly string[], firstId = 1, more: Partial<EventRows> = {}): EventRows {
  const ids = texts.map((_, index) => firstId + index);
  return { queue: queueUuid(1), source: "", ids, putAtMs: [], texts, ...more };
}

function open(url: string, settings: Readonly<Record<string, string>> = {}): EventTable & AsyncDisposable {
  const table = new EventTable(postgresConfig(url, settings), "a test");
  return Object.assign(table, { [Symbol.asyncDispose]: () => table.close() });
}

const stored = (duplicates = 0): InsertResult => ({ duplicates, rejected: [], failure: undefined });

test("x", { skip: NO_POSTGRES }, async () => {
  await using server = await startPostgres("fsync=off");
  for (const partition of ["none", "day"]) {
    const name = `events_${partition}`;
    await using table = open(server.url(), { "postgres.table": name, "postgres.partition": partition });
    const t0 = performance.now();
    assert.deepEqual(await table.insert(rows(['{"a":1}', "2"], 7, { putAtMs: [1_700_000_000_123, 5] }), RUNNING), stored());
    assert.deepEqual(await table.insert(rows(["2", "3"], 8), RUNNING), stored(1));
    assert.deepEqual(await table.insert(rows(["2", "3"], 8, { source: "k" }), RUNNING), stored());
    console.log(performance.now() - t0, table.risks);
    console.log(await server.query(`SELECT queue, id, put_at, source, event FROM ${name} ORDER BY source, id`));
    const bad = ['{"a":"\\u0000"}', "[1e400000]", "{", '"\\ud800"', "", "1\u0000", "1,2", "[".repeat(20_000) + "]".repeat(20_000)];
    const many = Array.from({ length: 1500 }, (_, n) => bad[n / 150] ?? String(n));
    const t1 = performance.now();
    console.log(await table.insert(rows(many, 100), RUNNING), performance.now() - t1);
    assert.deepEqual(await table.insert(rows(Array.from({ length: 1500 }, () => "1"), 100), RUNNING), stored(1492));
  }
});
