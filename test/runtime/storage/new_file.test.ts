import assert from "node:assert/strict";
import { chmodSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { ConfigurationError, EventStorageError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { makeFile } from "../../../src/storage/queue_file.ts";
import { noSmallDisks, SmallDisk } from "../../support/small_disk.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

test("makes a queue's files readable by their owner only, whatever the umask", () => {
  using directory = temporaryDirectory();
  const umask = process.umask(0);
  using queue = new EventQueue("main", serializeJsonEvent, { directory: directory.path });
  queue.put({});
  process.umask(umask);

  for (const suffix of ["", "-wal", "-shm"]) assert.equal(modeOf(queue.file + suffix), "600");
});

test("makes them as they were asked for, whatever the umask", () => {
  using directory = temporaryDirectory();
  const umask = process.umask(0o077);
  using queue = new EventQueue("main", serializeJsonEvent, { directory: directory.path, fileMode: 0o660 });
  queue.put({});
  process.umask(umask);

  for (const suffix of ["", "-wal", "-shm"]) assert.equal(modeOf(queue.file + suffix), "660");
});

test("leaves the mode of a file that is there", () => {
  using directory = temporaryDirectory();
  const open = () => new EventQueue("main", serializeJsonEvent, { directory: directory.path });
  const { file } = open();
  chmodSync(file, 0o640);
  using _queue = open();
  assert.equal(modeOf(file), "640");
});

test("rejects a mode with which the owner could not use the file", () => {
  using directory = temporaryDirectory();
  for (const fileMode of [0, 0o400, 0o1600, 600, -1, Number.NaN, 0o600 + 0.5])
    assert.throws(
      () => new EventQueue("main", serializeJsonEvent, { directory: directory.path, fileMode }),
      (error) => error instanceof ConfigurationError && error.place.key === "fileMode",
    );
});

test("leaves nothing else behind, also where it cannot make the file", () => {
  using directory = temporaryDirectory();
  makeFile(join(directory.path, "a.db"), 0o600);
  makeFile(join(directory.path, "a.db"), 0o600);
  makeFile(join(directory.path, "missing", "b.db"), 0o600);
  assert.deepEqual(readdirSync(directory.path), ["a.db"]);
});

test("says what is wrong with a disk that is read-only, for a queue that is there and for a new one", {
  skip: noSmallDisks,
}, () => {
  using disk = new SmallDisk(4);
  const open = (name: string) => new EventQueue(name, serializeJsonEvent, { directory: disk.path });
  open("main").close();
  disk.makeReadOnly();
  for (const name of ["main", "other"])
    assert.throws(
      () => open(name),
      (error) => error instanceof EventStorageError && /cannot be opened|may not/.test(error.message),
      name,
    );
});

test("removes what a process that was killed while it made the file has left", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  for (const suffix of ["", "-journal"]) {
    const left = `${path}-tmp-${crypto.randomUUID()}${suffix}`;
    writeFileSync(left, "");
    utimesSync(left, 1, 1);
  }
  makeFile(path, 0o600);
  assert.deepEqual(readdirSync(directory.path), ["events-main.db"]);
});
