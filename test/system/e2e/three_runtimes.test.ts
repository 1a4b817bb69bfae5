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

test("a Deno and a Node producer and a Bun publisher use one queue at once, and everything arrives once", {
  timeout: 120_000,
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
  await using one = startCommand([deno.path, ["run", "-A", PRODUCER, ...range(1)]]);
  await using other = startCommand([node.path, [PRODUCER, ...range(1 + EACH)]]);
  await Promise.all([publishing(publisher), one.line(/^ready$/), other.line(/^ready$/)]);

  for (const producer of [one, other]) producer.child.stdin?.write("go\n");
  await one.line(/^done under Deno$/);
  await other.line(/^done under Node 24/);
  assert.deepEqual(await Promise.all([one.ended, other.ended]), [0, 0]);
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.equal(await stop(publisher), 0);
  assert.deepEqual(
    collector.acceptedNumbers.toSorted((a, b) => a - b),
    numbersFrom(1, 2 * EACH),
  );
  assert.equal(spool.integrity(), "ok");
});
