import assert from "node:assert/strict";
import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { EventStorageError } from "../../../src/errors.ts";
import { EpochTable } from "../../../src/storage/epochs.ts";
import type { Epoch } from "../../../src/storage/identity.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { SCHEMA_SQL } from "../../../src/storage/schema.generated.ts";
import { openShell } from "../../support/shell.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

test("carries a fresh copy of the statements of schema.sql: a file stores the same text of either", () => {
  using directory = temporaryDirectory();
  const storedOf = (name: string, sql: string): readonly unknown[] => {
    const db = openShell(join(directory.path, name));
    db.exec(sql);
    const stored = db.prepare("SELECT type, name, sql FROM sqlite_schema").all();
    db.close();
    return stored;
  };
  const whole = readFileSync(new URL("../../../schema.sql", import.meta.url), "utf8");
  assert.deepEqual(storedOf("copy.db", SCHEMA_SQL), storedOf("original.db", whole));
});

test("makes a new file a queue in WAL mode, which names its events the same whenever it is opened", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-new.db");
  const epochs = (): readonly Epoch[] => {
    const file = QueueFile.open(path);
    assert.equal(file.db.pragma("journal_mode"), "wal");
    const list = new EpochTable(file).list();
    file.close();
    return list;
  };
  const [first, ...more] = epochs();
  assert.deepEqual(more, []);
  assert.equal(first!.reason, "created");
  assert.match(first!.uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/);
  assert.deepEqual(epochs(), [first]);
});

test("takes a copy that VACUUM INTO made back to WAL mode", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  const original = QueueFile.open(join(directory.path, "events-original.db"));
  original.db.prepare<[string]>("VACUUM INTO ?").run(path);
  original.close();

  const file = QueueFile.open(path);
  assert.equal(file.db.pragma("journal_mode"), "wal");
  file.close();
});

test("syncs as much as was asked for, and leaves checkpoints to the publisher", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  const pragmas = (options?: Parameters<typeof QueueFile.open>[1]): unknown[] => {
    const file = QueueFile.open(path, options);
    const values = ["synchronous", "wal_autocheckpoint"].map((name) => file.db.pragma(name));
    file.close();
    return values;
  };
  assert.deepEqual(pragmas(), [1, 16_000]);
  assert.deepEqual(pragmas({ durability: "power" }), [2, 16_000]);
  assert.deepEqual(pragmas({ role: "publisher" }), [1, 0]);
});

test("reports that it was removed, and that another is in its place", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  const file = QueueFile.open(path);
  rmSync(path);
  assert.throws(() => file.checkPlace(), storageError("MOVED", /removed or replaced.*restart/));
  const other = QueueFile.open(path);
  assert.throws(() => file.checkPlace(), storageError("MOVED", /removed or replaced.*restart/));
  other.checkPlace();
  other.close();
  file.close();
});

test("tells that its -wal was removed: what was put there would be lost", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  const file = QueueFile.open(path);
  file.checkWritable();
  file.checkPlace();
  rmSync(`${path}-wal`);
  const again = QueueFile.open(path); // makes another
  assert.throws(
    () => {
      for (;;) file.checkPlace(); // it looks once a second
    },
    storageError("MOVED", /events-main\.db-wal was removed or replaced/),
  );
  again.close();
  file.close();
});

test("rejects a file that is no database, and leaves it as it was", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  writeFileSync(path, "precious notes, certainly not a database\n".repeat(100));
  assert.throws(() => QueueFile.open(path), storageError("SQLITE_NOTADB", /Move it away/));
  assert.match(readFileSync(path, "utf8"), /^precious notes/);
});

test("rejects another program's database, and leaves it as it was", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  const foreign = openShell(path);
  foreign.exec("CREATE TABLE bookmarks (url TEXT)");
  foreign.close();
  const before = readFileSync(path);

  assert.throws(() => QueueFile.open(path), storageError("NOT_A_QUEUE", /another program's/));
  assert.deepEqual(readFileSync(path), before);
});

test("rejects a queue file of a newer version", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  const newer = QueueFile.open(path);
  newer.db.exec("UPDATE eventspool_schema SET version = 99");
  newer.close();
  assert.throws(() => QueueFile.open(path), storageError("NEWER_SCHEMA", /version 99.*upgrade/));
});

test("rejects a damaged file", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  QueueFile.open(path).close();
  truncateSync(path, 4_096);
  assert.throws(() => QueueFile.open(path), storageError("SQLITE_CORRUPT", /damaged/));
});

test("rejects a directory in the file's place", () => {
  using directory = temporaryDirectory();
  assert.throws(() => QueueFile.open(directory.path), storageError("NOT_A_QUEUE", /is not a regular file/));
});

test("rolls back whatever throws in a transaction", () => {
  using directory = temporaryDirectory();
  const file = QueueFile.open(join(directory.path, "events-main.db"));
  const failure = new Error("half-way");
  assert.throws(
    () =>
      file.transaction(() => {
        file.db.exec("UPDATE eventspool_queue SET max_events = 77");
        throw failure;
      }),
    failure,
  );
  assert.equal(file.db.prepareFirst("SELECT max_events FROM eventspool_queue").get(), 10_000);
  file.close();
});

function storageError(code: string, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof EventStorageError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };
}
