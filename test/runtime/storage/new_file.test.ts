import assert from "node:assert/strict";
import { chmodSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { ConfigurationError, EventStorageError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { makeFile } from "../../../src/storage/queue_file.ts";
import { start } from "../../support/processes.ts";
import { noSmallDisks, SmallDisk } from "../../support/small_disk.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

/** What the queue's files are like, or the error, when another process puts. */
async function putElsewhere(directory: string, options: object): Promise<string> {
  await using maker = start("test/support/programs/queue_maker.ts", [directory, JSON.stringify(options)]);
  assert.equal(await maker.ended, 0, maker.stderr.join("\n"));
  return maker.stdout.join("\n");
}

test("makes a queue's files readable by their owner only, whatever the umask", async () => {
  using directory = temporaryDirectory();
  assert.equal(await putElsewhere(directory.path, { umask: 0 }), "600 600 600");
});

test("creates them with the requested mode, whatever the umask", async () => {
  using directory = temporaryDirectory();
  const options = { umask: 0o077, fileMode: 0o660 };
  assert.equal(await putElsewhere(directory.path, options), "660 660 660");
});

const NOBODY = 65_534;
const isRoot = process.geteuid?.() === 0;

test("rejects a file that this process may not write", {
  skip:
    isRoot && process.seteuid === undefined && "root may write to any file, and cannot become somebody else",
}, async () => {
  using directory = temporaryDirectory();
  const queue = new EventQueue("main", serializeJsonEvent, { directory: directory.path });
  queue.close();
  chmodSync(directory.path, 0o777);
  chmodSync(queue.file, 0o444);
  const error = await putElsewhere(directory.path, isRoot ? { uid: NOBODY } : {});
  assert.match(error, /^SQLITE_READONLY: .*owner and mode/);
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
      (error) => error instanceof ConfigurationError && error.location.key === "fileMode",
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
