import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import Database from "better-sqlite3";
import { EventStorageError } from "../../../src/errors.ts";
import { inOutbox, outboxVersion, prepareOutbox } from "../../../src/storage/outbox_schema.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { MIGRATIONS } from "../../../src/storage/schema.ts";
import { openShop, SQLITE_LIBRARIES } from "../../support/sqlite_libraries.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const NEWEST = MIGRATIONS.length + 1;

test("makes the tables and triggers of a queue, each under a name of its own, beside those of the service", () => {
  using directory = temporaryDirectory();
  const paths = ["shop.db", "events-main.db"].map((name) => join(directory.path, name)) as [string, string];
  const shop = openShop(SQLITE_LIBRARIES[0]!, paths[0]);
  const mine = schemaOf(paths[0]);
  prepareOutbox(shop);
  QueueFile.open(paths[1], { role: "producer", durability: "process", busyTimeoutMs: 1_000 }).close();

  const added = schemaOf(paths[0]).filter(({ name }) => !mine.some((before) => before.name === name));
  const queue = schemaOf(paths[1]).filter(({ name }) => name !== "sqlite_sequence");
  const version = { type: "table", name: "eventspool_schema" };
  const expected = [...queue.map(({ type, name }) => ({ type, name: `eventspool_${name}` })), version];
  const named = added.filter(({ name }) => name !== "sqlite_sequence");
  assert.deepEqual(sorted(named.map(({ type, name }) => ({ type, name }))), sorted(expected));
  assert.doesNotMatch(named.map(({ sql }) => sql).join("\n"), /--|PRAGMA/);
  shop.close();
});

test("renames the tables of a statement, and nothing that begins or ends like them", () => {
  assert.equal(
    inOutbox("SELECT event.id, dead_letter_count FROM event, queue WHERE events = 'lease_1' AND lease.id"),
    "SELECT eventspool_event.id, dead_letter_count FROM eventspool_event, eventspool_queue WHERE events = 'lease_1' AND eventspool_lease.id",
  );
});

for (const library of SQLITE_LIBRARIES) {
  test(`${library.name}: takes an older outbox through the migrations, and rejects a newer one`, () => {
    using directory = temporaryDirectory();
    const db = openShop(library, join(directory.path, "shop.db"));
    prepareOutbox(db);
    assert.equal(outboxVersion(db), NEWEST);
    const newer = [
      ...MIGRATIONS,
      "ALTER TABLE event ADD COLUMN hue TEXT; ALTER TABLE lease ADD COLUMN hue TEXT",
    ];
    prepareOutbox(db, newer);
    assert.equal(outboxVersion(db), NEWEST + 1);
    db.prepare(
      "SELECT eventspool_event.hue, eventspool_lease.hue FROM eventspool_event, eventspool_lease",
    ).get();
    prepareOutbox(db, newer);
    assert.throws(
      () => prepareOutbox(db),
      (error) => error instanceof EventStorageError && error.code === "NEWER_SCHEMA",
    );
    db.close();
  });

  test(`${library.name}: leaves nothing of an outbox that could not be made whole`, () => {
    using directory = temporaryDirectory();
    const db = openShop(library, join(directory.path, "shop.db"));
    db.exec("CREATE TABLE eventspool_lease (mine TEXT)");
    assert.throws(() => prepareOutbox(db), /already exists/);
    assert.equal(outboxVersion(db), undefined);
    db.exec("DROP TABLE eventspool_lease");
    prepareOutbox(db);
    assert.equal(outboxVersion(db), NEWEST);
    db.close();
  });
}

interface SchemaRow {
  readonly type: string;
  readonly name: string;
  readonly sql: string | null;
}

function schemaOf(path: string): SchemaRow[] {
  const db = new Database(path, { readonly: true });
  const rows = db
    .prepare<[], SchemaRow>("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    .all();
  db.close();
  return rows;
}

function sorted<T extends { readonly name: string }>(rows: readonly T[]): T[] {
  return rows.toSorted((a, b) => a.name.localeCompare(b.name));
}
