import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { test } from "node:test";
import { Trimmer } from "../../../src/storage/trim.ts";
import { Checkpoints, compact } from "../../../src/storage/wal.ts";
import { type TestQueue, testQueue } from "../../support/queue_file.ts";

const MIB = 1_048_576;

function putSome(queue: TestQueue, count: number, sizeBytes: number): void {
  queue.events.setMaxEvents(1_000_000);
  queue.events.putMany(Array.from({ length: count }, () => Buffer.alloc(sizeBytes, "x")));
}

function deliverUpTo(queue: TestQueue, lastId: number): void {
  const lease = queue.leases.claim(queue.leases.claimedId(), lastId)!;
  assert.equal(queue.leases.ack(lease), true);
  new Trimmer(queue.file).purge(lastId);
}

/** The size of the file once all that was committed is in it, in bytes. */
function sizeOf({ file }: TestQueue): number {
  new Checkpoints(file).truncateWal();
  return statSync(file.path).size;
}

test("gives a large backlog's space back once it is delivered, and goes on with the ids where they were", () => {
  using queue = testQueue();
  putSome(queue, 10_000, 1_000);
  deliverUpTo(queue, 9_999);
  assert.ok(sizeOf(queue) > 9 * MIB);

  assert.equal(compact(queue.file), true);

  assert.ok(sizeOf(queue) < 100_000, `${sizeOf(queue)} bytes`);
  assert.equal(queue.events.depth(), 1);
  putSome(queue, 1, 10);
  const lease = queue.leases.claim(9_999, 10_001)!;
  assert.equal(queue.leases.read(lease).count, 2, "the one that waited, and the new one behind it");
  queue.leases.ack(lease);
  assert.equal(compact(queue.file), false, "there is nothing to give back now");
});

test("leaves a file alone that has little to give back, or is mostly full, or has much in it", () => {
  using little = testQueue();
  putSome(little, 1_000, 1_000);
  deliverUpTo(little, 1_000);
  assert.equal(compact(little.file), false);

  using mostlyFull = testQueue();
  putSome(mostlyFull, 12_000, 1_000);
  deliverUpTo(mostlyFull, 5_000);
  assert.equal(compact(mostlyFull.file), false);

  using much = testQueue();
  putSome(much, 500, 100_000);
  deliverUpTo(much, 300);
  assert.equal(compact(much.file), false);
});

test("comes back later when somebody writes", () => {
  using queue = testQueue();
  putSome(queue, 10_000, 1_000);
  deliverUpTo(queue, 10_000);
  using other = testQueue({ directory: queue.directory });
  other.file.db.exec("BEGIN IMMEDIATE");

  assert.equal(compact(queue.file), false);

  other.file.db.exec("COMMIT");
  assert.equal(compact(queue.file), true);
});
