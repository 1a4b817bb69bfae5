import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { test } from "node:test";
import { EventStorageError } from "../../../src/errors.ts";
import { DiskSpace, isNearlyFull } from "../../../src/storage/disk_space.ts";
import { testQueue } from "../../support/queue_file.ts";
import { noSmallDisks, SmallDisk } from "../../support/small_disk.ts";

const WITH_DISK = { skip: noSmallDisks };

test("has nothing against a put while there is room", () => {
  using queue = testQueue();
  new DiskSpace(queue.file).check(1_000, 1_000_000);
  assert.equal(isNearlyFull(queue.directory), false);
});

test("keeps an eighth of a small disk free, and what a checkpoint will need", WITH_DISK, () => {
  using disk = new SmallDisk(8);
  using queue = testQueue({ directory: disk.path });
  const body = Buffer.alloc(20_000, "x");
  const putAll = (): void => {
    for (;;) queue.events.put(body);
  };
  assert.throws(putAll, (error) => error instanceof EventStorageError && error.code === "SQLITE_FULL");

  assert.equal(isNearlyFull(disk.path), true);
  queue.file.db.pragma("wal_checkpoint(TRUNCATE)"); // is what has to find room
  assert.ok(disk.freeBytes > 1_000_000, `${disk.freeBytes} bytes`);
});

test("gives back what the -wal holds before it rejects", WITH_DISK, () => {
  using disk = new SmallDisk(16);
  using queue = testQueue({ directory: disk.path });
  queue.events.setMaxEvents(1_000_000);
  const body = Buffer.alloc(300, "x");
  for (let put = 0; put < 10_000; put++) queue.events.put(body); // by single puts: the -wal grows by a page or two for each
  assert.ok(statSync(queue.file.path).size > 1_000_000, "there was a checkpoint, though no publisher");
});

test("looks again before the next put when it was asked to, and after a rejection", WITH_DISK, () => {
  using disk = new SmallDisk(16);
  using queue = testQueue({ directory: disk.path });
  const room = new DiskSpace(queue.file);
  room.check(1, 1);
  disk.fill();
  room.check(1, 1);
  room.expire();
  assert.throws(() => room.check(1, 1), EventStorageError);
  assert.throws(() => room.check(1, 1), EventStorageError);
  disk.free();
  room.check(1, 1);
});
