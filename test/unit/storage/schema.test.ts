import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { EventStorageError } from "../../../src/errors.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { MIGRATIONS, prepareSchema, schemaVersion } from "../../../src/storage/schema.ts";
import { openShell } from "../../support/shell.ts";
import { openShop, SQLITE_LIBRARIES, type TestConnection } from "../../support/sqlite_libraries.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const NEWEST = MIGRATIONS.length + 1;
const NEWER = [...MIGRATIONS, "ALTER TABLE eventspool_event ADD COLUMN hue TEXT"];

/** The two kinds of file that hold a queue, each with what opens a connection to a new one. */
const KINDS: readonly {
  readonly name: string;
  open(library: (typeof SQLITE_LIBRARIES)[number], path: string): TestConnection;
}[] = [
  {
    name: "a queue's own file",
    open: (library, path) => {
      QueueFile.open(path).close();
      return library.open(path);
    },
  },
  { name: "an outbox", open: openShop },
];

test("creates the same tables and triggers in a service's database as in a queue's own file, beside the service's", () => {
  using directory = temporaryDirectory();
  const [shop, queue] = KINDS.map(({ open }, index) => {
    const db = open(SQLITE_LIBRARIES[0], join(directory.path, `${index}.db`));
    prepareSchema(db, "a.db");
    const rows = db
      .prepare("SELECT name, sql FROM sqlite_schema WHERE name GLOB 'eventspool_*' ORDER BY 1")
      .all();
    db.close();
    return rows;
  });
  assert.deepEqual(shop, queue);
  assert.ok(shop!.length >= 8);
});

for (const library of SQLITE_LIBRARIES)
  for (const { name, open } of KINDS) {
    test(`${library.name}: upgrades ${name} of an older version, and rejects a newer one`, () => {
      using directory = temporaryDirectory();
      const db = open(library, join(directory.path, "events.db"));
      prepareSchema(db, "events.db");
      assert.equal(schemaVersion(db), NEWEST);
      prepareSchema(db, "events.db", NEWER);
      assert.equal(schemaVersion(db), NEWEST + 1);
      db.prepare("SELECT hue FROM eventspool_event").get();
      prepareSchema(db, "events.db", NEWER);
      assert.throws(
        () => prepareSchema(db, "events.db"),
        (error) => error instanceof EventStorageError && error.code === "NEWER_SCHEMA",
      );
      db.close();
    });

    test(`${library.name}: leaves ${name} as it was when an upgrade fails half-way`, () => {
      using directory = temporaryDirectory();
      const db = open(library, join(directory.path, "events.db"));
      prepareSchema(db, "events.db");
      const broken = [`${NEWER.at(-1)}; CREATE TABLE eventspool_lease (again TEXT)`];
      assert.throws(() => prepareSchema(db, "events.db", [...MIGRATIONS, ...broken]), /already exists/);
      assert.equal(schemaVersion(db), NEWEST);
      prepareSchema(db, "events.db", NEWER); // the column is not there yet
      db.close();
    });
  }

test("leaves nothing of an outbox that could not be created whole", () => {
  using directory = temporaryDirectory();
  for (const library of SQLITE_LIBRARIES) {
    const db = openShop(library, join(directory.path, `${library.name}.db`));
    db.exec("CREATE TABLE eventspool_lease (mine TEXT)");
    assert.throws(() => prepareSchema(db, "shop.db"), /already exists/);
    assert.equal(schemaVersion(db), undefined);
    db.exec("DROP TABLE eventspool_lease");
    prepareSchema(db, "shop.db");
    assert.equal(schemaVersion(db), NEWEST);
    db.close();
  }
});

test("rejects a file of an older version that may only be read", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  KINDS[0]!.open(SQLITE_LIBRARIES[0], path).close();
  const db = openShell(path);
  db.exec("UPDATE eventspool_schema SET version = 1");
  assert.throws(
    () => QueueFile.openReadOnly(path),
    (error) => error instanceof EventStorageError && error.code === "OLDER_SCHEMA",
  );
  db.close();
});
