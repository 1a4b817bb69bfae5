import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import Database from "better-sqlite3";
import { EventTable } from "../../../src/storage/events.ts";
import { LeaseTable } from "../../../src/storage/leases.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const OPTIONS = { role: "publisher", durability: "process", busyTimeoutMs: 1_000 } as const;

/** How eventspool puts when version 2 is the newest that it knows. */
const PUT_2 = `
  INSERT OR IGNORE INTO event (id, put_at_ms, body)
  VALUES ((SELECT iif(max(coalesce(event.id, 0), claimed_id) - removed_count < max_events,
    max(coalesce(event.id, 0), claimed_id) + 1, 0)
    FROM queue LEFT JOIN event WHERE one = 1 ORDER BY event.id DESC LIMIT 1), ?, ?)`;

/** A queue file as version 2 made it, with two events of which one is leased, still open in a process of that version. */
function makeVersion2(path: string): Database.Database {
  const db = new Database(path);
  db.pragma("journal_mode = WAL");
  db.exec(readFileSync(new URL("fixtures/schema_2.sql", import.meta.url), "utf8"));
  db.exec(`
    INSERT INTO queue (one, uuid, claimed_id) VALUES (1, 'u-u-i-d', 1);
    INSERT INTO event VALUES (1, 1000, x'6531'), (2, 1001, x'6532');
    INSERT INTO lease VALUES (9, 1, 1, 1000, 1000, 3);`);
  return db;
}

test("takes a file of version 2 to version 3: events that are there have no trace, new ones may have one", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  makeVersion2(path).close();

  const file = QueueFile.open(path, OPTIONS);
  new EventTable(file).put(Buffer.from("e3"), "00-t-s-01");

  assert.equal(file.db.pragma("user_version", { simple: true }), 3);
  const leases = new LeaseTable(file, 60_000);
  const [old, fresh] = [leases.claimExpired()!, leases.claim(1, 3)!];
  assert.deepEqual(leases.traces(old, 10), []);
  assert.deepEqual(leases.traces(fresh, 10), ["00-t-s-01"]);
  assert.equal(Buffer.from(leases.read(fresh).joined).toString(), "e2,e3");
  file.close();
});

test("lets a service and a publisher of version 2 go on with the file that they have open", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  const older = makeVersion2(path);
  const put = older.prepare(PUT_2);
  const read = older.prepare<[], string>("SELECT CAST(body AS TEXT) FROM event ORDER BY id").pluck();
  const remove = older.prepare("DELETE FROM event WHERE id BETWEEN ? AND ?");

  const file = QueueFile.open(path, OPTIONS);
  const events = new EventTable(file);
  events.put(Buffer.from("e3"), "00-t-s-01");
  put.run(1_002, Buffer.from("e4"));

  assert.deepEqual(read.all(), ["e1", "e2", "e3", "e4"]);
  assert.deepEqual(
    events.read({ fromId: 1, limit: 9 }).map(({ id }) => id),
    [1, 2, 3, 4],
  );
  remove.run(1, 3);
  const leases = new LeaseTable(file, 60_000);
  assert.deepEqual(
    leases.traces(leases.claim(1, 4)!, 10),
    [],
    "a trace goes with its event, whoever removes it",
  );
  file.close();
  older.close();
});

test("tells each trace of a lease once, and no more than asked for", () => {
  using directory = temporaryDirectory();
  const file = QueueFile.open(join(directory.path, "events-main.db"), OPTIONS);
  const events = new EventTable(file);
  for (const trace of ["a", "b", undefined, "a", "c"]) events.put(Buffer.from("e"), trace);
  const leases = new LeaseTable(file, 60_000);
  const lease = leases.claim(0, 5)!;

  assert.deepEqual(leases.traces(lease, 10), ["a", "b", "c"]);
  assert.equal(leases.traces(lease, 2).length, 2);
  file.close();
});
