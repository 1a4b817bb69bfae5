import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { DeadLetterTable } from "../../../src/storage/dead_letters.ts";
import { EventTable } from "../../../src/storage/events.ts";
import { LeaseTable } from "../../../src/storage/leases.ts";
import { APPLICATION_ID, QueueFile } from "../../../src/storage/queue_file.ts";
import { MIGRATIONS, schemaVersion } from "../../../src/storage/schema.ts";
import { type Database, inImmediate } from "../../../src/storage/sqlite/sqlite.ts";
import { eventually } from "../../support/eventually.ts";
import { type Program, start } from "../../support/processes.ts";
import { createVersion1 } from "../../support/schema_1.ts";
import { openShell } from "../../support/shell.ts";
import { openShop, SQLITE_LIBRARIES } from "../../support/sqlite_libraries.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const NEWEST = MIGRATIONS.length + 1;

/** A queue of version 1, as a file of its own or in a service's database, and how it is opened. */
const KINDS: Readonly<Record<string, { make(path: string): void; open(path: string): QueueFile }>> = {
  "a queue's own file": {
    make: (path) => {
      const db = SQLITE_LIBRARIES[0].open(path);
      db.exec(`PRAGMA journal_mode = WAL; PRAGMA application_id = ${APPLICATION_ID}`);
      createVersion1(db);
      db.close();
    },
    open: (path) => QueueFile.open(path),
  },
  "an outbox": {
    make: (path) => {
      const db = openShop(SQLITE_LIBRARIES[0], path);
      db.exec("CREATE VIEW broken AS SELECT * FROM gone"); // other programs have such, and ALTER TABLE reads them all
      createVersion1(db);
      db.close();
    },
    open: (path) => QueueFile.openOutbox(path),
  },
};

function upgrade(path: string, steps: number): Program {
  return start("test/support/programs/upgrader.ts", [path, String(steps)]);
}

for (const [name, { make, open }] of Object.entries(KINDS)) {
  test(`${name} of version 1 keeps its events, leases, dead letters and counts`, () => {
    using directory = temporaryDirectory();
    const path = join(directory.path, "events.db");
    make(path);
    const file = open(path);
    const events = new EventTable(file);
    const { newestId, depth, maxEvents, deadLetters, deadLetterBytes, droppedDeadLetters, rejectedPuts } =
      events.state();
    assert.deepEqual(
      [newestId, depth, maxEvents, deadLetters, deadLetterBytes, droppedDeadLetters, rejectedPuts.full],
      [12, 7, 77, 1, 4, 3, 4],
    );
    assert.equal(events.batchVersion(), "2j");
    assert.equal(new DeadLetterTable(file).get(5)?.response, "no");
    const leases = new LeaseTable(file, 60_000);
    assert.deepEqual(
      leases.all().map(({ id, firstId, lastId, attempts }) => [id, firstId, lastId, attempts]),
      [
        [40, 6, 7, 2],
        [41, 8, 9, 1],
      ],
    );
    assert.equal(leases.claim(9, 12)?.id, 100, "a lease's id never comes back");
    const first = leases.claimExpired()!;
    assert.equal(Buffer.from(leases.read(first).joined).toString(), "e6,e7");
    assert.ok(leases.ack(first));
    assert.equal(events.depth(), 5);
    const upgraded = tablesOf(file);
    file.close();
    const fresh = QueueFile.open(join(directory.path, "fresh.db"));
    assert.deepEqual(upgraded, tablesOf(fresh), "the tables are those of a new queue");
    fresh.close();
  });

  test(`${name} is upgraded once by several processes at once, also when the first is killed during the upgrade`, async () => {
    using directory = temporaryDirectory();
    const path = join(directory.path, "events.db");
    make(path);
    const db = openShell(path, { busyTimeoutMs: 0 });
    const contentOf = () =>
      ["queue", "event", "lease", "dead_letter"].map((table) =>
        db.prepare(`SELECT * FROM eventspool_${table}`).all(),
      );
    const before = contentOf();

    await using killed = upgrade(path, 1e12); // longer than anybody waits
    await eventually("the upgrade's transaction", () => isLocked(db));
    killed.signal("SIGKILL");
    assert.equal(await killed.ended, "SIGKILL");
    assert.equal(schemaVersion(db), 1);
    assert.deepEqual(contentOf(), before);

    const others = Array.from({ length: 3 }, () => upgrade(path, 300_000));
    for (const other of others) {
      await using program = other;
      await program.line(new RegExp(`^version ${NEWEST + 1}$`));
      assert.equal(await program.ended, 0);
    }
    assert.equal(db.prepareFirst("SELECT hue FROM eventspool_event").get(), null);
    assert.equal(db.prepareFirst("SELECT count(*) FROM eventspool_event").get(), 7);
    assert.equal(db.pragma("integrity_check"), "ok");
    db.close();
  });
}

/** How the tables are created, without comments. */
function tablesOf({ db }: QueueFile): string[] {
  const select =
    "SELECT sql FROM sqlite_schema WHERE name GLOB 'eventspool_*' AND sql IS NOT NULL ORDER BY name";
  const texts = db.prepareFirst<[], string>(select).all();
  return texts.map((text) => text.replaceAll(/ *--[^\n]*/g, "").replaceAll(/\s+/g, " "));
}

function isLocked(db: Database): boolean {
  try {
    inImmediate(db, () => {});
    return false;
  } catch {
    return true;
  }
}
