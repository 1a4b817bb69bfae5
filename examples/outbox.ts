/**
 * A shop that keeps its orders in SQLite: an order and the event that describes it commit together, or not at all.
 *
 *     SHOP_DB=shop.db bun examples/outbox.ts
 *     curl -X POST localhost:3000/orders -H 'Content-Type: application/json' -d '{"item":"book","count":2}'
 *
 * The publisher finds the database by `queue.file = shop.db`: see docs/outbox.md.
 */
import { serve } from "@hono/node-server";
import Database from "better-sqlite3"; // or Database of bun:sqlite, or DatabaseSync of node:sqlite
import { EventError, Outbox, serializeJsonEvent } from "eventspool/outbox";
import { Hono } from "hono";

interface Order {
  readonly item: string;
  readonly count: number;
}

const db = new Database(process.env.SHOP_DB ?? "shop.db");
db.exec("PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000");
db.exec(`
  CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, count INTEGER NOT NULL CHECK (count >= 0));
  CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL, count INTEGER NOT NULL);
  INSERT OR IGNORE INTO stock VALUES ('book', 5)`);
const outbox = new Outbox(db, serializeJsonEvent);
const insertOrder = db.prepare<Order>("INSERT INTO orders (item, count) VALUES (:item, :count)");
const takeFromStock = db.prepare<Order>("UPDATE stock SET count = count - :count WHERE item = :item");

/** The event is put first, to show that it is rolled back when the stock is too low and CHECK fails. */
function placeOrder(order: Order): number {
  return outbox.transaction(() => {
    const id = Number(insertOrder.run(order).lastInsertRowid);
    outbox.put({ action: "buy", noun: "order", order: id, ...order });
    takeFromStock.run(order);
    return id;
  });
}

const app = new Hono();
app.post("/orders", async (c) => {
  const { item, count } = await c.req.json<Order>(); // what is awaited comes before the transaction
  try {
    return c.json({ id: placeOrder({ item, count }) }, 201);
  } catch (error) {
    if (error instanceof EventError) return c.json({ error: error.message }, 503); // neither order nor event
    return c.json({ error: "Not enough in stock." }, 409);
  }
});

const port = Number(process.env.PORT ?? 3000);
const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port }, ({ port }) => {
  console.log(`Serving at http://127.0.0.1:${port}`);
});
process.once("SIGTERM", () => {
  server.close();
  outbox.close();
  db.close();
});
