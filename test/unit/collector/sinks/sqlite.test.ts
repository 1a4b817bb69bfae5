import assert from "node:assert/strict";
import { statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SqliteSink } from "../../../../src/collector/sinks/sqlite.ts";
import type { Database } from "../../../../src/storage/sqlite/sqlite.ts";
import { batchOf, numberedBatch, queueUuid } from "../../../support/batches.ts";
import { openShell } from "../../../support/shell.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";

/** Opens the database beside the sink, as another program would. */
function openBeside(path: string): Database {
  return openShell(path);
}

test("new files are private to their owner, or have the configured mode", async () => {
  for (const fileMode of [undefined, 0o640]) {
    using directory = temporaryDirectory();
    await using sink = new SqliteSink(join(directory.path, "events.db"), { fsync: "never", fileMode });
    await sink.store(numberedBatch(1, 3));
    for (const name of ["events.db", "events.db-wal", "events.db-shm"])
      assert.equal(statSync(join(directory.path, name)).mode & 0o777, fileMode ?? 0o600, name);
  }
});

test("every documented column is filled, and can be queried while the sink is open", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events.db");
  const sinceMs = Date.now();
  await using sink = new SqliteSink(path, { fsync: "never" });
  await sink.store({ ...batchOf(['{"a":1}', "{}"], `${queueUuid(1)}:7,9`), version: "2", keyName: "web-1" });
  await sink.store(batchOf(["3"]));
  await sink.store(batchOf(["4"], `${queueUuid(2)}:1-2`));
  const db = openBeside(path);
  const rows = db.prepare("SELECT * FROM event ORDER BY id").all() as Record<string, unknown>[];
  for (const { received_at_ms: atMs } of rows)
    assert.ok(Number(atMs) >= sinceMs && Number(atMs) <= Date.now());
  const columns = ["id", "key_name", "version", "queue", "event_id", "body"];
  assert.deepEqual(
    rows.map((row) => columns.map((column) => row[column])),
    [
      [1, "web-1", "2", queueUuid(1), 7, '{"a":1}'],
      [2, "web-1", "2", queueUuid(1), 9, "{}"],
      [3, "host", "2j", null, null, "3"],
      [4, "host", "2j", queueUuid(2), null, "4"],
    ],
  );
  assert.equal(db.prepareFirst("SELECT body ->> 'a' FROM event WHERE id = 1").get(), 1);
  db.close();
});

test("an event that someone deleted from the table is still recognized as a duplicate", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events.db");
  await using sink = new SqliteSink(path, { fsync: "never" });
  await sink.store(numberedBatch(1, 3));
  const db = openBeside(path);
  db.exec("DELETE FROM event");
  assert.deepEqual(await sink.store(numberedBatch(1, 4)), { stored: 1, duplicates: 3 });
  assert.deepEqual(db.prepareFirst("SELECT body FROM event").all(), ["4"]);
  db.close();
});

test("a batch is rejected while another process holds the write lock, and then stored once", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events.db");
  await using sink = new SqliteSink(path, { fsync: "never" });
  await sink.store(numberedBatch(1, 2));
  const db = openBeside(path);
  db.exec("BEGIN IMMEDIATE");
  await assert.rejects(sink.store(numberedBatch(3, 5)), {
    name: "EventStorageError",
    code: "SQLITE_BUSY",
    path,
  });
  db.exec("COMMIT");
  assert.deepEqual(await sink.store(numberedBatch(2, 5)), { stored: 3, duplicates: 1 });
  db.close();
});

test("the ids of a group that was not committed are forgotten", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events.db");
  await using sink = new SqliteSink(path, { fsync: "never" });
  const db = openBeside(path);
  db.exec(
    "CREATE TRIGGER poison BEFORE INSERT ON event WHEN NEW.body = '5' BEGIN SELECT raise(ABORT, 'no'); END",
  );
  const rejected = [numberedBatch(1, 3), numberedBatch(4, 6)].map((batch) => sink.store(batch));
  for (const batch of rejected) await assert.rejects(batch, { code: "SQLITE_CONSTRAINT_TRIGGER" });
  db.exec("DROP TRIGGER poison");
  assert.deepEqual(await sink.store(numberedBatch(1, 6)), { stored: 6, duplicates: 0 });
  db.close();
});

test("a link opens the database that it points to", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events.db");
  await new SqliteSink(path).close();
  const link = join(directory.path, "link");
  symlinkSync(path, link);
  await using sink = new SqliteSink(link);
  assert.throws(() => new SqliteSink(path), { code: "LOCKED" });
  assert.deepEqual(await sink.store(numberedBatch(1, 1)), { stored: 1, duplicates: 0 });
});

test("databases and files of other programs are rejected and not changed", () => {
  using directory = temporaryDirectory();
  const [other, later, text] = ["other.db", "later.db", "text.db"].map((name) => join(directory.path, name));
  const db = openShell(other!);
  db.exec("CREATE TABLE t (a)");
  db.close();
  const newer = openShell(later!);
  newer.exec("CREATE TABLE event (a); PRAGMA application_id = 0x65767363; PRAGMA user_version = 2");
  newer.close();
  writeFileSync(text!, "1\n2\n".repeat(1_000));
  assert.throws(() => new SqliteSink(other!), { name: "EventStorageError", code: "NOT_AN_EVENT_DATABASE" });
  assert.throws(() => new SqliteSink(later!), { code: "NOT_AN_EVENT_DATABASE" });
  assert.throws(() => new SqliteSink(text!), { code: "SQLITE_NOTADB" });
  assert.throws(() => new SqliteSink(join(directory.path, "no", "e.db")), { name: "EventStorageError" });
});
