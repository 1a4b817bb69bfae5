/**
 * A service that is always in the middle of a transaction: `ordering_service.ts DATABASE FIRST`. Orders FIRST,
 * FIRST + 1, ... get a row and an event each; in between it rolls back orders from 1,000,000 on. It uses the SQLite
 * of its runtime, and prints `ready` once it has begun.
 */
import process from "node:process";
import { Outbox, serializeJsonEvent } from "../../../src/queue/outbox.ts";
import { openShop, runtimeLibrary } from "../sqlite_libraries.ts";

/** Orders with these numbers are never committed. */
const ROLLED_BACK = 1_000_000;

/** After how many orders it says that it is under way. */
const READY_AFTER = 20;

const [path = "", first = "1"] = process.argv.slice(2);
const db = openShop(runtimeLibrary, path);
const outbox = new Outbox(db, serializeJsonEvent, { maxEvents: 1_000_000, requireTransaction: true });
const insert = db.prepare("INSERT INTO orders (id) VALUES (?)");

for (let n = Number(first); ; n++) {
  outbox.transaction(() => order(n));
  if (n % 3 === 0) orderAndRollBack(n);
  if (n === Number(first) + READY_AFTER) console.log("ready");
  if (n % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 1)); // the line gets out
}

function order(n: number): void {
  if (n % 2 === 0) insert.run(n);
  outbox.put({ n });
  if (n % 2 === 1) insert.run(n);
}

function orderAndRollBack(n: number): void {
  db.exec("BEGIN IMMEDIATE");
  insert.run(ROLLED_BACK + n);
  outbox.putMany([{ n: ROLLED_BACK + n }]);
  db.exec("ROLLBACK");
}
