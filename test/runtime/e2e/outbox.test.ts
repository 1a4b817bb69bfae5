import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import Database from "better-sqlite3";
import { PUBLISHER, writeIni } from "../../support/config.ts";
import { eventually } from "../../support/eventually.ts";
import { testShop } from "../../support/outbox.ts";
import { type Program, start } from "../../support/processes.ts";
import { numbersFrom, ScriptedCollector } from "../../support/scripted_collector.ts";
import { publishing, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 300_000 };

/** How often the service is killed. */
const KILLS = 20;

/** At most how long after it has begun, in milliseconds. */
const KILL_WITHIN_MS = 40;

test(
  "delivers the event of every order that was committed and of no other, though the service is killed in its transactions",
  LIMIT,
  async () => {
    using shop = testShop();
    const reader = new Database(shop.path, { readonly: true });
    const hasRow = reader.prepare<[number], number>("SELECT count(*) FROM orders WHERE id = ?").pluck();
    const lastRow = reader.prepare<[], number>("SELECT coalesce(max(id), 0) FROM orders").pluck();
    await using collector = await ScriptedCollector.open();
    const early: number[] = [];
    collector.script = ({ numbers }) => {
      early.push(...numbers.filter((n) => hasRow.get(n) === 0));
      return { status: 200 };
    };
    await using publisher = publisherOf(shop, collector.port);
    await publishing(publisher);

    for (let kill = 0; kill < KILLS; kill++) {
      const first = (lastRow.get() ?? 0) + 1;
      await using service = start("test/support/programs/ordering_service.ts", [shop.path, String(first)]);
      await service.line(/^ready$/);
      await sleep(Math.random() * KILL_WITHIN_MS);
      assert.equal(await stop(service, "SIGKILL"), "SIGKILL");
    }

    await eventually("an empty outbox", () => shop.outbox.depth() === 0);
    assert.equal(await stop(publisher), 0);
    const orders = lastRow.get() as number;
    assert.ok(orders > KILLS * 20, `${orders} orders`);
    assert.deepEqual(early, [], "no event comes before its row is committed");
    assert.deepEqual(
      [...new Set(collector.acceptedNumbers)].toSorted((a, b) => a - b),
      numbersFrom(1, orders),
    );
    assert.deepEqual(collector.problems, []);
    assert.equal(reader.pragma("integrity_check", { simple: true }), "ok");
    reader.close();
  },
);

/** A publisher that finds the database by its path, relative to the configuration's file. */
function publisherOf(shop: { readonly directory: string }, port: number): Program {
  const config = writeIni(join(shop.directory, "publisher.ini"), "event-publisher:main", {
    ...PUBLISHER,
    "queue.file": "shop.db",
    "collector.hostname": `127.0.0.1:${port}`,
    "publisher.grace": "30s",
    "admin.listen": "off",
  });
  return start("src/commands/publisher.ts", [config]);
}
