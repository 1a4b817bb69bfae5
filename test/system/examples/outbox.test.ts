import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import Database from "better-sqlite3";
import { serveCollector } from "../../support/collector.ts";
import { eventually } from "../../support/eventually.ts";
import { start } from "../../support/processes.ts";
import { newPublisher } from "../../support/publisher.ts";
import { stop } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

// Its `from "eventspool/outbox"` is src/ under Bun and the built dist/ elsewhere.
const onlyBun = {
  skip: process.versions.bun === undefined && "the example is `bun examples/outbox.ts`",
  timeout: 600_000,
};

test(
  "the shop sends the events of the orders it has taken, and none of those it could not",
  onlyBun,
  async () => {
    using directory = temporaryDirectory();
    const path = join(directory.path, "shop.db");
    await using shop = start("examples/outbox.ts", [], { SHOP_DB: path, PORT: "0" });
    const url = (await shop.line(/^Serving at /)).replace("Serving at ", "");
    const order = async (count: number): Promise<{ status: number; body: unknown }> => {
      const answer = await fetch(`${url}/orders`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ item: "book", count }),
      });
      return { status: answer.status, body: await answer.json() };
    };
    assert.deepEqual(await order(2), { status: 201, body: { id: 1 } });
    assert.deepEqual(await order(4), { status: 409, body: { error: "Not enough in stock." } });
    assert.deepEqual(await order(3), { status: 201, body: { id: 2 } });

    await using collector = await serveCollector();
    await using publisher = newPublisher(collector.url, directory.path, { "queue.file": path });
    void publisher.run();
    await eventually("both events", () => publisher.status().delivered === 2);
    assert.deepEqual(
      collector.batches.flatMap(({ events }) => events).map((event) => JSON.parse(event)),
      [
        { action: "buy", noun: "order", order: 1, item: "book", count: 2 },
        { action: "buy", noun: "order", order: 2, item: "book", count: 3 },
      ],
    );
    assert.equal(await stop(shop), 0);
    const reader = new Database(path, { readonly: true });
    assert.deepEqual(reader.prepare("SELECT count FROM orders ORDER BY id").pluck().all(), [2, 3]);
    reader.close();
  },
);
