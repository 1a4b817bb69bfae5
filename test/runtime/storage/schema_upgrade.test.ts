import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { MIGRATIONS, prepareSchema, schemaVersion } from "../../../src/storage/schema.ts";
import { type Database, inImmediate } from "../../../src/storage/sqlite/sqlite.ts";
import { eventually } from "../../support/eventually.ts";
import { type Program, start } from "../../support/processes.ts";
import { openShell } from "../../support/shell.ts";
import { openShop, SQLITE_LIBRARIES } from "../../support/sqlite_libraries.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const NEWEST = MIGRATIONS.length + 1;

/** A queue with one event, as a file of its own or in a service's database. */
const KINDS: Readonly<Record<string, (path: string) => void>> = {
  "a queue's own file": (path) =>
    QueueFile.open(path, { role: "producer", durability: "process", busyTimeoutMs: 1_000 }).close(),
  "an outbox": (path) => {
    const db = openShop(SQLITE_LIBRARIES[0], path);
    prepareSchema(db, path);
    db.close();
  },
};

function upgrade(path: string, steps: number): Program {
  return start("test/support/programs/upgrader.ts", [path, String(steps)]);
}

for (const [name, make] of Object.entries(KINDS))
  test(`${name} is upgraded once by several processes at once, also when the first is killed amid it`, async () => {
    using directory = temporaryDirectory();
    const path = join(directory.path, "events.db");
    make(path);
    const db = openShell(path, { busyTimeoutMs: 0 });
    db.exec("INSERT INTO eventspool_event (id, put_at_ms, body) VALUES (1, 2, x'65')");

    await using killed = upgrade(path, 1e12); // longer than anybody waits
    await eventually("the upgrade's transaction", () => isLocked(db));
    killed.signal("SIGKILL");
    assert.equal(await killed.ended, "SIGKILL");
    assert.equal(schemaVersion(db), NEWEST);
    assert.equal(db.prepareFirst("SELECT CAST(body AS TEXT) FROM eventspool_event").get(), "e");

    const others = Array.from({ length: 3 }, () => upgrade(path, 300_000));
    for (const other of others) {
      await using program = other;
      await program.line(new RegExp(`^version ${NEWEST + 1}$`));
      assert.equal(await program.ended, 0);
    }
    assert.equal(db.prepareFirst("SELECT hue FROM eventspool_event").get(), null);
    assert.equal(db.pragma("integrity_check"), "ok");
    db.close();
  });

function isLocked(db: Database): boolean {
  try {
    inImmediate(db, () => {});
    return false;
  } catch {
    return true;
  }
}
