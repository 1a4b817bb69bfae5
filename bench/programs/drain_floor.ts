/**
 * The minimum work of a publisher in a bare loop without a network: read a batch, sign it, gzip it. With `deletes` it
 * also deletes the batch, and checkpoints as often as the publisher.
 */
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import process from "node:process";
import { gzipSync } from "node:zlib";
import Database from "better-sqlite3";
import { randomEvent } from "./random_events.ts";
import { ownDirectory } from "./rounds.ts";

const BATCH = 1_500;
/** 8 MB, as in src/storage/wal.ts. */
const CHECKPOINT_PAGES = 2_000;

const { events, level, deletes } = JSON.parse(process.argv[2] ?? "{}") as {
  events: number;
  level: number;
  deletes: boolean;
};
const db = new Database(`${ownDirectory()}/floor.db`);
db.exec("PRAGMA journal_mode = WAL");
db.exec(readFileSync(new URL("../../schema.sql", import.meta.url), "utf8"));
db.exec(`PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
const insert = db.prepare<[number, Uint8Array]>(
  "INSERT INTO eventspool_event (put_at_ms, body) VALUES (?, ?)",
);
const pool = Array.from({ length: 20_000 }, randomEvent);
db.transaction(() => {
  for (let put = 0; put < events; put++) insert.run(Date.now(), pool[put % pool.length] as Uint8Array);
})();
db.exec("PRAGMA wal_checkpoint(TRUNCATE)");

const read = db
  .prepare<[number, number], Buffer>(
    `SELECT CAST(group_concat(body, ',') AS BLOB)
     FROM (SELECT body FROM eventspool_event WHERE id BETWEEN ? AND ? ORDER BY id)`,
  )
  .pluck();
const remove = db.prepare<[number, number]>("DELETE FROM eventspool_event WHERE id BETWEEN ? AND ?");

const startedAtMs = performance.now();
const before = process.cpuUsage();
for (let id = 1; id <= events; id += BATCH) {
  const body = read.get(id, id + BATCH - 1) as Buffer;
  createHmac("sha256", "secret").update(body).digest("hex");
  gzipSync(body, { level, chunkSize: 262_144 });
  if (deletes) remove.run(id, id + BATCH - 1);
}
const { user, system } = process.cpuUsage(before);
const perS = (events / (performance.now() - startedAtMs)) * 1_000;
console.log(JSON.stringify({ perS, cpuUs: (user + system) / events }));
db.close();
