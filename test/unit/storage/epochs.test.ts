import assert from "node:assert/strict";
import { copyFileSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Outbox } from "../../../src/queue/outbox.ts";
import { EpochTable } from "../../../src/storage/epochs.ts";
import { EventTable } from "../../../src/storage/events.ts";
import { type Epoch, hasMoved, locate, noteLocation } from "../../../src/storage/identity.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { openShell } from "../../support/shell.ts";
import { openShop, SQLITE_LIBRARIES } from "../../support/sqlite_libraries.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** Opens a queue, puts `count` events, closes it, and returns its epochs. */
function putInto(path: string, count = 0): Epoch[] {
  const file = QueueFile.open(path);
  const events = new EventTable(file);
  for (let put = 0; put < count; put++) events.put(Buffer.from("{}"));
  const epochs = new EpochTable(file).list();
  file.close();
  return epochs;
}

const COPIES: Readonly<Record<string, (from: string, to: string) => void>> = {
  "a copy of the file": copyFileSync,
  "a copy by VACUUM INTO": (from, to) => {
    const db = openShell(from);
    db.prepare<[string]>("VACUUM INTO ?").run(to);
    db.close();
  },
};

for (const [name, copy] of Object.entries(COPIES))
  test(`${name} begins an epoch with its next event, and leaves the original's alone`, () => {
    using directory = temporaryDirectory();
    const [original, other] = [join(directory.path, "events-a.db"), join(directory.path, "events-b.db")];
    const [created] = putInto(original, 5);
    copy(original, other);

    const epochs = putInto(other, 2);
    assert.deepEqual(epochs[0], created);
    assert.deepEqual(
      epochs.map(({ firstId, reason }) => [firstId, reason]),
      [
        [1, "created"],
        [6, "moved"],
      ],
    );
    assert.notEqual(epochs[1]!.uuid, created!.uuid);
    assert.deepEqual(putInto(other), epochs, "once");
    assert.deepEqual(putInto(original), [created]);
  });

test("a backup put back in the place of the file is another file, though ext4 gives it the same inode", () => {
  using directory = temporaryDirectory();
  const [path, backup] = [join(directory.path, "events-a.db"), join(directory.path, "backup.db")];
  putInto(path, 5);
  copyFileSync(path, backup);
  putInto(path, 5);
  renameSync(path, `${path}-old`);
  copyFileSync(backup, path);
  assert.deepEqual(
    putInto(path).map(({ firstId }) => firstId),
    [1, 6],
  );
});

test("a rename, a compaction and another name for the directory begin no epoch", () => {
  using directory = temporaryDirectory();
  const [path, renamed] = [join(directory.path, "events-a.db"), join(directory.path, "events-b.db")];
  const epochs = putInto(path, 5);
  const db = openShell(path);
  db.exec("DELETE FROM eventspool_event WHERE id < 5; VACUUM");
  db.close();
  assert.deepEqual(putInto(path), epochs);
  renameSync(path, renamed);
  assert.deepEqual(putInto(renamed), epochs);
});

test("a file opened to read is not written to, wherever it is", () => {
  using directory = temporaryDirectory();
  const [path, copy] = [join(directory.path, "events-a.db"), join(directory.path, "events-b.db")];
  putInto(path, 5);
  copyFileSync(path, copy);
  const before = readFileSync(copy);
  QueueFile.openReadOnly(copy).close();
  assert.deepEqual(readFileSync(copy), before);
});

test("an epoch that no event was put in is replaced by the next, and the last is used for all events after it", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-a.db");
  putInto(path, 5);
  const file = QueueFile.open(path);
  const epochs = new EpochTable(file);
  assert.ok(noteLocation(file.db, path, { inode: 1 }));
  const second = epochs.uuidAt(6);
  assert.ok(noteLocation(file.db, path, { inode: 2 }));
  assert.deepEqual(
    epochs.list().map(({ firstId }) => firstId),
    [1, 6],
  );
  assert.notEqual(epochs.uuidAt(6), second);
  assert.equal(epochs.uuidAt(6), epochs.uuidAt(1_000_000));
  assert.notEqual(epochs.uuidAt(5), epochs.uuidAt(6));
  assert.deepEqual([epochs.lastIdFrom(1), epochs.lastIdFrom(6)], [5, Number.MAX_SAFE_INTEGER]);
  file.close();
});

test("epochs without events are forgotten beyond a hundred, and those of events never", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-a.db");
  const file = QueueFile.open(path);
  const [events, epochs] = [new EventTable(file), new EpochTable(file)];
  const first = epochs.uuidAt(1);
  for (let move = 1; move <= 150; move++) {
    events.put(Buffer.from("{}"));
    noteLocation(file.db, path, { inode: move });
  }
  assert.equal(epochs.list().length, 151);
  assert.equal(epochs.uuidAt(1), first);
  file.db.exec("DELETE FROM eventspool_event WHERE id < 150");
  noteLocation(file.db, path, { inode: 999 });
  assert.equal(epochs.list().length, 100);
  file.close();
});

test("what a process cannot find out begins no epoch, and is noted by one that can", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-a.db");
  const file = QueueFile.open(path);
  const notedNow = (): unknown =>
    JSON.parse(file.db.prepareFirst<[], string>("SELECT location FROM eventspool_queue").get()!);
  noteLocation(file.db, path, { device: 7, inode: 1 }); // where it is now, say
  for (const known of [{ inode: 1 }, { machine: "m", inode: 1 }, { boot: "b", inode: 1 }, {}])
    assert.equal(noteLocation(file.db, path, known), false, JSON.stringify(known));
  assert.deepEqual(notedNow(), { device: 7, inode: 1, machine: "m", boot: "b" });
  assert.ok(noteLocation(file.db, path, { machine: "another", inode: 1 }));
  file.close();
});

test("a file is somewhere else when one of its marks is another", () => {
  const here = { boot: "b", device: 1, inode: 2, bornAtMs: 3 };
  assert.equal(hasMoved(here, { ...here }), false);
  for (const change of [{ boot: "c" }, { device: 9 }, { inode: 9 }, { bornAtMs: 9 }])
    assert.equal(hasMoved(here, { ...here, ...change }), true, JSON.stringify(change));
});

test("the marks of a file are the same whenever one looks, also after it was written", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-a.db");
  putInto(path);
  const before = locate(path);
  putInto(path, 3);
  assert.deepEqual(locate(path), before);
  assert.equal(before.inode, statSync(path).ino);
  assert.deepEqual(locate(join(directory.path, "none")), {});
});

for (const library of SQLITE_LIBRARIES)
  test(`${library.name}: the copy of a service's database with an outbox begins an epoch, by the service or its publisher`, () => {
    using directory = temporaryDirectory();
    const [path, copy] = [join(directory.path, "shop.db"), join(directory.path, "copy.db")];
    const db = openShop(library, path);
    const outbox = new Outbox<object>(db, (event) => Buffer.from(JSON.stringify(event)));
    outbox.put({ n: 1 });
    db.prepare("VACUUM INTO ?").run(copy);
    outbox.close();
    db.close();

    const other = openShop(library, copy);
    const restored = new Outbox<object>(other, (event) => Buffer.from(JSON.stringify(event)));
    const ids = other.prepare("SELECT first_id FROM eventspool_epoch ORDER BY 1").all();
    assert.deepEqual(
      ids.map((row) => Object.values(row as object)[0]),
      [1, 2],
    );
    restored.close();
    other.close();
    const file = QueueFile.openOutbox(copy);
    assert.equal(file.hasMoved, false);
    assert.equal(new EpochTable(file).list().length, 2);
    file.close();
  });
