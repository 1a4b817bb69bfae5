import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type FsyncPolicy,
  GroupCommitter,
  type GroupTarget,
} from "../../../../src/collector/sinks/group_commit.ts";
import type { AcceptedBatch, StoreResult } from "../../../../src/collector/sinks/sink.ts";
import { batchOf, numberedBatch } from "../../../support/batches.ts";
import { eventually } from "../../../support/eventually.ts";

/** Notes what it is told; its disk fails as told. */
class Target implements GroupTarget {
  /** The sizes of groups, and `sync` and `undo`. */
  readonly steps: (number | string)[] = [];
  syncFails = false;
  undoFails = false;
  /** Syncs wait for it. */
  gate: Promise<void> = Promise.resolve();

  write(group: readonly AcceptedBatch[]): readonly StoreResult[] {
    this.steps.push(group.length);
    return group.map(({ events }) => ({ stored: events.count, duplicates: 0 }));
  }

  async sync(): Promise<void> {
    this.steps.push("sync");
    await this.gate;
    if (this.syncFails) throw new Error("EIO");
  }

  undo(): void {
    this.steps.push("undo");
    if (this.undoFails) throw new Error("EROFS");
  }

  written(): void {
    this.steps.push("written");
  }

  maintain(): void {}
}

function open(target: GroupTarget, fsync: FsyncPolicy, maxGroupBytes = 1_000): GroupCommitter {
  return new GroupCommitter(target, { fsync, fsyncIntervalMs: 20, maxGroupBytes });
}

const CLOSED = new Error("closed");

test("has one sync serve all batches that came while the one before was under way", async () => {
  const target = new Target();
  const loop = open(target, "always");
  const { promise, resolve } = Promise.withResolvers<void>();
  target.gate = promise;
  const first = loop.store(batchOf(["1"]));
  await eventually("a sync", () => target.steps.includes("sync"));
  const others = [2, 3, 4].map((id) => loop.store(batchOf([String(id)])));
  resolve();
  await Promise.all([first, ...others]);
  assert.deepEqual(target.steps, [1, "sync", "written", 3, "sync", "written"]);
});

test("answers no batch before it is synced, if it always syncs", async () => {
  const target = new Target();
  const loop = open(target, "always");
  const { promise, resolve } = Promise.withResolvers<void>();
  target.gate = promise;
  let isKept = false;
  const kept = loop.store(batchOf(["1"])).then(() => {
    isKept = true;
  });
  await eventually("a sync", () => target.steps.includes("sync"));
  assert.equal(isKept, false);
  resolve();
  await kept;
});

test("makes a group no larger than it may be, and takes a batch that is larger alone", async () => {
  const target = new Target();
  const loop = open(target, "never", 6);
  await Promise.all(["1", "2", "3", "4", "123456789", "6"].map((event) => loop.store(batchOf([event]))));
  assert.deepEqual(
    target.steps.filter((step) => step !== "written"),
    [3, 1, 1, 1],
  );
});

test("writes no two batches in one group that may be of the same events", async () => {
  const target = new Target();
  const loop = open(target, "never");
  const batches = [numberedBatch(1, 5), numberedBatch(6, 9), numberedBatch(5, 6), numberedBatch(20, 21)];
  await Promise.all(batches.map((batch) => loop.store(batch)));
  assert.deepEqual(
    target.steps.filter((step) => step !== "written"),
    [2, 2],
  );
});

test("takes a group back that cannot be synced, and goes on", async () => {
  const target = new Target();
  const loop = open(target, "always");
  target.syncFails = true;
  await assert.rejects(loop.store(batchOf(["1"])), /EIO/);
  target.syncFails = false;
  await loop.store(batchOf(["1"]));
  assert.deepEqual(target.steps, [1, "sync", "undo", 1, "sync", "written"]);
});

test("takes nothing more once a group could be neither synced nor taken back", async () => {
  const target = new Target();
  const loop = open(target, "always");
  target.syncFails = true;
  target.undoFails = true;
  await assert.rejects(loop.store(batchOf(["1"])), /EIO/);
  target.syncFails = false;
  await assert.rejects(loop.store(batchOf(["2"])), /EIO/);
  assert.deepEqual(target.steps, [1, "sync", "undo"]);
  await loop.close(CLOSED);
});

test("syncs some time after a write if told so, and takes nothing more when that fails", async () => {
  const target = new Target();
  const loop = open(target, "interval");
  await loop.store(batchOf(["1"]));
  await eventually("a sync", () => target.steps.includes("sync"));
  target.syncFails = true;
  await loop.store(batchOf(["2"]));
  await eventually("another sync", () => target.steps.filter((step) => step === "sync").length === 2);
  await assert.rejects(loop.store(batchOf(["3"])), /EIO/);
});

test("syncs when it is closed, unless it never syncs", async () => {
  for (const [fsync, steps] of [
    ["interval", [1, "written", "sync"]],
    ["never", [1, "written"]],
  ] as const) {
    const target = new Target();
    const loop = new GroupCommitter(target, { fsync, fsyncIntervalMs: 3_600_000 });
    const kept = loop.store(batchOf(["1"]));
    await loop.close(CLOSED);
    await kept;
    assert.deepEqual(target.steps, steps);
    await assert.rejects(loop.store(batchOf(["2"])), CLOSED);
  }
});
