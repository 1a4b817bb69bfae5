import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lookAtQueue, queuesIn } from "../../../src/storage/queue_directory.ts";
import { putEvents, testQueue } from "../../support/queue_file.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

test("finds the queues of a directory by the names of their files, in order", () => {
  using directory = temporaryDirectory();
  for (const name of ["events-b.db", "events-a.v2.db", "events-b.db-wal", "events-.db", "other.db"])
    writeFileSync(join(directory.path, name), "");
  assert.deepEqual(queuesIn(directory.path), ["a.v2", "b"]);
  assert.throws(() => queuesIn(join(directory.path, "missing")), { code: "ENOENT" });
});

test("looks into a queue that others use", () => {
  using queue = testQueue();
  putEvents(queue.events, 3);
  assert.deepEqual(lookAtQueue(queue.file.path), { state: queue.events.state() });
  assert.equal(queue.events.state().newestId, 3);
});

test("says why a queue cannot be read, and leaves its file as it is", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  writeFileSync(path, "no database".repeat(500));
  assert.match(lookAtQueue(path).error ?? "", /events-main\.db/);
  assert.equal(readFileSync(path, "utf8"), "no database".repeat(500));
  mkdirSync(join(directory.path, "events-dir.db"));
  assert.match(lookAtQueue(join(directory.path, "events-dir.db")).error ?? "", /is not a regular file/);
});
