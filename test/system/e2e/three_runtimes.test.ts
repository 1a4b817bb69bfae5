import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { DENO, NODE } from "../../../scripts/runtimes.ts";
import { eventually } from "../../support/eventually.ts";
import { startCommand } from "../../support/processes.ts";
import { findBun, getRuntime } from "../../support/runtimes.ts";
import { numbersFrom, ScriptedCollector } from "../../support/scripted_collector.ts";
import { publishing, Spool, stop } from "../../support/spool.ts";

const EACH = 2_000;
const PRODUCER = fileURLToPath(new URL("../../support/programs/numbered_producer.ts", import.meta.url));
const PUBLISHER = fileURLToPath(new URL("../../../src/commands/publisher.ts", import.meta.url));

test("producers with three SQLite libraries on three runtimes and a publisher use one queue at once, and everything arrives once", {
  timeout: 600_000,
}, async (t) => {
  const [bun, deno, node] = [findBun(), getRuntime(DENO), getRuntime(NODE)];
  if ("missing" in bun) return t.skip(bun.missing);
  if ("missing" in deno) return t.skip(deno.missing);
  if ("missing" in node) return t.skip(node.missing);
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  const settings = { "collector.hostname": `127.0.0.1:${collector.port}` };
  await using publisher = startCommand([bun.path, [PUBLISHER, ...spool.publisherArgs(settings)]]);
  const range = (first: number): string[] => [spool.directory, String(first), String(first + EACH - 1)];
  const use = (library: string) => ({ env: { EVENTSPOOL_SQLITE: library } });
  await using one = startCommand([bun.path, [PRODUCER, ...range(1)]], use("bun:sqlite"));
  await using two = startCommand(
    [deno.path, ["run", "-A", PRODUCER, ...range(1 + EACH)]],
    use("node:sqlite"),
  );
  await using three = startCommand([node.path, [PRODUCER, ...range(1 + 2 * EACH)]], use("better-sqlite3"));
  const producers = [one, two, three];
  await Promise.all([publishing(publisher), ...producers.map((producer) => producer.line(/^ready$/))]);

  for (const producer of producers) producer.child.stdin?.write("go\n");
  await one.line(/^done under Bun/);
  await two.line(/^done under Deno$/);
  await three.line(/^done under Node 24/);
  assert.deepEqual(await Promise.all(producers.map(({ ended }) => ended)), [0, 0, 0]);
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.equal(await stop(publisher), 0);
  assert.deepEqual(
    collector.acceptedNumbers.toSorted((a, b) => a - b),
    numbersFrom(1, 3 * EACH),
  );
  assert.equal(spool.integrity(), "ok");
});
