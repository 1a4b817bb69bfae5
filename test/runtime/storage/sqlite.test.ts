import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { betterSqlite3 } from "../../../src/storage/sqlite/better_sqlite3.ts";
import { bunSqlite } from "../../../src/storage/sqlite/bun_sqlite.ts";
import { nodeSqlite } from "../../../src/storage/sqlite/node_sqlite.ts";
import { type Database, type Driver, inDeferred, inImmediate } from "../../../src/storage/sqlite/sqlite.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** The libraries that this runtime has. */
const DRIVERS: Driver[] = [betterSqlite3(createRequire(import.meta.url)("better-sqlite3"))];
const builtin = process.getBuiltinModule as (name: string) => { Database: never; DatabaseSync: never };
if (process.versions.bun) DRIVERS.push(bunSqlite(builtin("bun:sqlite").Database));
else DRIVERS.push(nodeSqlite(builtin("node:sqlite").DatabaseSync));

const RW = { isReadOnly: false, busyTimeoutMs: 0 };

for (const driver of DRIVERS) {
  const run = (name: string, work: (db: Database, path: string) => void): void =>
    void test(`${driver.name}: ${name}`, () => {
      using directory = temporaryDirectory();
      const path = join(directory.path, "test.db");
      create(path);
      const db = driver.open(path, RW);
      try {
        work(db, path);
      } finally {
        db.close();
      }
    });

  run("runs statements, and counts the rows they changed, without those of triggers", (db) => {
    db.exec(
      "CREATE TABLE log (n); CREATE TRIGGER t AFTER INSERT ON a BEGIN INSERT INTO log VALUES (1), (2); END",
    );
    const insert = db.prepare<[number, Uint8Array]>("INSERT OR IGNORE INTO a (id, body) VALUES (?, ?)");
    assert.equal(insert.run(1, Buffer.from("x")).changes, 1);
    assert.equal(insert.run(1, Buffer.from("x")).changes, 0);
    assert.equal(insert.run(2, Buffer.from("y")).changes, 1);
    assert.equal(db.prepare("UPDATE a SET body = x'00'").run().changes, 2);
  });

  run("gives rows as objects, or their first column", (db) => {
    for (const id of [1, 2, 3]) db.prepare<[number]>("INSERT INTO a VALUES (?, 'text')").run(id);
    const all = db.prepare<[number], { id: number; body: string }>(
      "SELECT id, body FROM a WHERE id > ? ORDER BY id",
    );
    assert.deepEqual(all.get(1), { id: 2, body: "text" });
    assert.deepEqual(
      all.all(1).map(({ id }) => id),
      [2, 3],
    );
    assert.deepEqual(
      [...all.iterate(0)].map(({ id }) => id),
      [1, 2, 3],
    );
    assert.equal(all.get(3), undefined);
    const first = db.prepareFirst<[number], number>("SELECT id, body FROM a WHERE id > ? ORDER BY id");
    assert.equal(first.get(1), 2);
    assert.deepEqual(first.all(1), [2, 3]);
    assert.deepEqual([...first.iterate(0)], [1, 2, 3]);
    assert.equal(first.get(3), undefined);
    assert.equal(db.prepareFirst("SELECT max(id) FROM a WHERE id > 9").get(), null);
  });

  run(
    "gives and takes bytes, text (without NUL, where Deno ends it), integers and NULL as they are",
    (db) => {
      const bytes = new Uint8Array([0, 1, 255]);
      const row = db
        .prepare<[Uint8Array, string, number, null], { a: Uint8Array; b: string; c: number; d: null }>(
          "SELECT ? AS a, ? AS b, ? AS c, ? AS d",
        )
        .get(bytes, "ü🙂", 2 ** 52, null)!;
      assert.deepEqual([Buffer.from(row.a), row.b, row.c, row.d], [Buffer.from(bytes), "ü🙂", 2 ** 52, null]);
    },
  );

  run("ends a statement whose loop is left, so that the next one can write", (db) => {
    for (const id of [1, 2, 3]) db.prepare<[number]>("INSERT INTO a VALUES (?, 'text')").run(id);
    const ids = db.prepareFirst<[], number>("SELECT id FROM a ORDER BY id");
    for (const id of ids.iterate()) if (id === 2) break;
    db.exec("DROP TABLE a"); // fails while a statement reads it
    assert.equal(db.prepareFirst("SELECT count(*) FROM sqlite_schema WHERE name = 'a'").get(), 0);
  });

  run("commits a transaction, and undoes one that throws", (db) => {
    const insert = db.prepare<[number]>("INSERT INTO a VALUES (?, 'text')");
    assert.equal(
      inImmediate(db, () => insert.run(1).changes),
      1,
    );
    assert.throws(() =>
      inImmediate(db, () => {
        insert.run(2);
        assert.equal(db.inTransaction, true);
        throw new Error("undo");
      }),
    );
    assert.equal(db.inTransaction, false);
    assert.deepEqual(
      inDeferred(db, () => db.prepareFirst("SELECT id FROM a").all()),
      [1],
    );
  });

  run("tells SQLite's result codes by name", (db, path) => {
    const other = driver.open(path, RW);
    db.exec("BEGIN IMMEDIATE");
    assert.throws(() => other.exec("BEGIN IMMEDIATE"), { code: /^SQLITE_BUSY/ });
    assert.throws(() => other.prepare<[number]>("INSERT INTO a VALUES (?, 1)").run(1), {
      code: /^SQLITE_BUSY/,
    });
    db.exec("ROLLBACK");
    db.prepare("INSERT INTO a VALUES (1, 1)").run();
    assert.throws(() => db.prepare("INSERT INTO a VALUES (1, 1)").run(), { code: /^SQLITE_CONSTRAINT/ });
    assert.throws(() => db.prepare("INSERT INTO nothing VALUES (1)"), { code: /^SQLITE_ERROR/ });
    const reader = driver.open(path, { ...RW, isReadOnly: true });
    assert.throws(() => reader.prepare("INSERT INTO a VALUES (2, 1)").run(), { code: /^SQLITE_READONLY/ });
    assert.throws(() => driver.open(`${path}-missing`, RW), { code: /^SQLITE_CANTOPEN/ });
    reader.close();
    other.close();
  });

  run("lets go of the file when it is closed, statements or not", (db, path) => {
    db.prepare("SELECT 1 FROM a"); // never run
    const rows = db.prepareFirst("SELECT id FROM a").iterate();
    rows.next();
    db.close();
    db.close();
    const other = driver.open(path, RW);
    other.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT");
    assert.equal(other.pragma("wal_checkpoint(TRUNCATE)"), 0);
    other.close();
  });

  run("reads and sets pragmas, and deletes without secure_delete", (db) => {
    assert.equal(db.pragma("journal_mode"), "wal");
    db.pragma("synchronous = FULL");
    assert.equal(db.pragma("synchronous"), 2);
    assert.equal(db.pragma("busy_timeout"), 0);
    db.pragma("secure_delete = OFF");
    assert.equal(db.pragma("secure_delete"), 0);
  });
}

function create(path: string): void {
  const db = new (createRequire(import.meta.url)("better-sqlite3"))(path);
  db.pragma("journal_mode = WAL");
  db.exec("CREATE TABLE a (id INTEGER PRIMARY KEY, body)");
  db.close();
}
