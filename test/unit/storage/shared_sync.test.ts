import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { EventStorageError } from "../../../src/errors.ts";
import { SharedSync } from "../../../src/storage/wal_sync.ts";
import { putEvents, testQueue } from "../../support/queue_file.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

test("ends all that ask while a sync is on its way together, with the next one", async () => {
  using queue = testQueue();
  putEvents(queue.events, 1); // so that there is a -wal
  const shared = new SharedSync(queue.file.path);
  const ended: string[] = [];
  const sync = (name: string) => shared.sync().then(() => ended.push(name));
  const first = sync("first");
  await Promise.resolve(); // it begins
  await Promise.resolve();
  const others = ["second", "third"].map(sync);
  await first;
  assert.deepEqual(ended, ["first"]);
  await others[0];
  await Promise.resolve();
  assert.deepEqual(ended, ["first", "second", "third"]);
  await Promise.all(others);
  await shared.close();
});

test("rejects when there is nothing to sync, and goes on once there is", async () => {
  using directory = temporaryDirectory();
  const shared = new SharedSync(`${directory.path}/events-main.db`);
  const isMissing = (error: unknown) => error instanceof EventStorageError && error.code === "ENOENT";
  await assert.rejects(shared.sync(), isMissing);
  writeFileSync(`${directory.path}/events-main.db-wal`, "");
  await shared.sync();
  await shared.close();
});

test("lets what is on its way end when it is closed", async () => {
  using queue = testQueue();
  putEvents(queue.events, 1);
  const shared = new SharedSync(queue.file.path);
  const sync = shared.sync();
  await shared.close();
  await sync;
});
