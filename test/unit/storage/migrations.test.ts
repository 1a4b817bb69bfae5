import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import Database from "better-sqlite3";
import { DeadLetterTable } from "../../../src/storage/dead_letters.ts";
import { EventTable } from "../../../src/storage/events.ts";
import { LeaseTable } from "../../../src/storage/leases.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const OPTIONS = { role: "publisher", durability: "process", busyTimeoutMs: 1_000 } as const;

/** A queue file as version 1 made it: three events, of which one is leased, and a dead letter. */
function makeVersion1(path: string): Database.Database {
  const db = new Database(path);
  db.pragma("journal_mode = WAL");
  db.exec(readFileSync(new URL("fixtures/schema_1.sql", import.meta.url), "utf8"));
  db.exec(`
    INSERT INTO queue (one, uuid, max_events, claimed_id, removed_count) VALUES (1, 'u-u-i-d', 77, 2, 1);
    INSERT INTO event VALUES (2, 1000, x'6532'), (3, 1001, x'6533'), (4, 1002, x'6534');
    INSERT INTO lease VALUES (9, 2, 2, 1000, 1000, 3);
    INSERT INTO dead_letter (id, put_at_ms, body, dead_at_ms, attempts, status, answer)
      VALUES (1, 999, x'6531', 1005, 4, 422, 'no ä');`);
  return db;
}

test("takes a file of version 1 through the migrations, with all that is in it", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  makeVersion1(path).close();

  const file = QueueFile.open(path, OPTIONS);

  assert.equal(file.uuid, "u-u-i-d");
  const { depth, maxEvents, deadLetters, deadLetterBytes } = new EventTable(file).state();
  assert.deepEqual({ depth, maxEvents, deadLetters }, { depth: 3, maxEvents: 77, deadLetters: 1 });
  assert.equal(deadLetterBytes, 2 + Buffer.byteLength("no ä"));
  assert.deepEqual(new DeadLetterTable(file).get(1), {
    id: 1,
    putAtMs: 999,
    deadAtMs: 1005,
    attempts: 4,
    status: 422,
    answer: "no ä",
    sizeBytes: 2,
    body: Buffer.from("e1"),
  });
  const lease = new LeaseTable(file, 60_000).claimExpired();
  assert.deepEqual(lease, { id: 9, firstId: 2, lastId: 2, attempts: 4 });
  file.close();
});

test("makes the same tables of an older file as of a new one", () => {
  using directory = temporaryDirectory();
  const [older, fresh] = ["events-older.db", "events-fresh.db"].map((name) => join(directory.path, name));
  makeVersion1(older!).close();

  assert.deepEqual(schemaOf(older!), schemaOf(fresh!));
});

test("lets a service of the older version go on putting into the file it has open", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  const older = makeVersion1(path);
  const put = older.prepare("INSERT INTO event (id, put_at_ms, body) VALUES (?, 0, x'65')");

  const file = QueueFile.open(path, OPTIONS);
  put.run(5);

  assert.equal(new EventTable(file).depth(), 4);
  file.close();
  older.close();
});

/** Columns and triggers, white space and comments apart. */
function schemaOf(path: string): unknown {
  const file = QueueFile.open(path, OPTIONS);
  const names = file.db
    .prepare<[], string>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .pluck()
    .all();
  const columns = names.map((name) => [name, file.db.pragma(`table_xinfo(${name})`)]);
  const triggers = file.db
    .prepare<[], string>("SELECT sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name")
    .pluck()
    .all()
    .map((sql) => sql.replace(/\s+/g, " "));
  const version = file.db.pragma("user_version", { simple: true });
  file.close();
  return { columns, triggers, version };
}
