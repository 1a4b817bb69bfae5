import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  type FsyncPolicy,
  GroupCommitSink,
  type GroupTarget,
} from "../../../../src/collector/sinks/group_commit.ts";
import type { AcceptedBatch, StoreResult } from "../../../../src/collector/sinks/sink.ts";
import { batchOf, numberedBatch, queueUuid } from "../../../support/batches.ts";
import { eventually } from "../../../support/eventually.ts";

/** Records its calls; `sync` and `undo` fail on request. */
class Target implements GroupTarget {
  readonly path = "/data/events";
  /** The sizes of groups, and the names of the other calls. */
  readonly steps: (number | string)[] = [];
  areDuplicates = false;
  maintained = 0;
  syncFails = false;
  undoFails = false;
  /** Syncs wait for it. */
  gate: Promise<void> = Promise.resolve();

  write(group: readonly AcceptedBatch[]): readonly StoreResult[] {
    this.steps.push(group.length);
    return group.map(({ events: { count } }) =>
      this.areDuplicates ? { stored: 0, duplicates: count } : { stored: count, duplicates: 0 },
    );
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

  onCommit(): void {
    this.steps.push("commit");
  }

  close(): void {
    this.steps.push("close");
  }

  maintain(): void {
    this.maintained++;
  }
}

function open(target: GroupTarget, fsync: FsyncPolicy, maxGroupBytes = 1_000): GroupCommitSink {
  return new GroupCommitSink(target, { fsync, fsyncIntervalMs: 20, maxGroupBytes });
}

test("one sync serves all batches that came during the sync before", async () => {
  const target = new Target();
  const sink = open(target, "always");
  const { promise, resolve } = Promise.withResolvers<void>();
  target.gate = promise;
  const first = sink.store(batchOf(["1"]));
  await eventually("a sync", () => target.steps.includes("sync"));
  const others = [2, 3, 4].map((id) => sink.store(batchOf([String(id)])));
  resolve();
  await Promise.all([first, ...others]);
  assert.deepEqual(target.steps, [1, "sync", "commit", 3, "sync", "commit"]);
});

test("with fsync always, a batch resolves only after its sync", async () => {
  const target = new Target();
  const sink = open(target, "always");
  const { promise, resolve } = Promise.withResolvers<void>();
  target.gate = promise;
  let isStored = false;
  const stored = sink.store(batchOf(["1"])).then(() => {
    isStored = true;
  });
  await eventually("a sync", () => target.steps.includes("sync"));
  assert.equal(isStored, false);
  resolve();
  await stored;
});

test("a group stays below its limit, and a larger batch is a group of its own", async () => {
  const target = new Target();
  const sink = open(target, "never", 6);
  await Promise.all(["1", "2", "3", "4", "123456789", "6"].map((event) => sink.store(batchOf([event]))));
  assert.deepEqual(
    target.steps.filter((step) => step !== "commit"),
    [3, 1, 1, 1],
  );
});

test("a group has at most 64 batches", async () => {
  const target = new Target();
  const sink = open(target, "never");
  await Promise.all(Array.from({ length: 65 }, () => sink.store(batchOf(["1"]))));
  assert.deepEqual(target.steps, [64, "commit", 1, "commit"]);
});

test("a group of duplicates only is not synced: its events were synced before", async () => {
  const target = new Target();
  target.areDuplicates = true;
  await open(target, "always").store(batchOf(["1"]));
  assert.deepEqual(target.steps, [1, "commit"]);
});

test("the target is maintained before each group, and when the sink is woken without a batch", async () => {
  const target = new Target();
  const sink = open(target, "always");
  await sink.store(batchOf(["1"]));
  assert.equal(target.maintained, 1);
  await nextTurn(); // the sink is idle
  sink.wake();
  await sink.close();
  assert.equal(target.maintained, 2);
});

test("a sink that is woken while a group is synced maintains its target afterwards, though no batch comes", async () => {
  const target = new Target();
  const sink = open(target, "always");
  const { promise, resolve } = Promise.withResolvers<void>();
  target.gate = promise;
  const stored = sink.store(batchOf(["1"]));
  await eventually("a sync", () => target.steps.includes("sync"));
  sink.wake(); // a file has become old enough to be rotated
  resolve();
  await stored;
  await sink.close();
  assert.equal(target.maintained, 2);
});

test("two batches that may hold the same events are never in one group", async () => {
  const target = new Target();
  const sink = open(target, "never");
  const batches = [numberedBatch(1, 5), numberedBatch(6, 9), numberedBatch(5, 6), numberedBatch(20, 21)];
  await Promise.all(batches.map((batch) => sink.store(batch)));
  assert.deepEqual(
    target.steps.filter((step) => step !== "commit"),
    [2, 2],
  );
});

test("batches with gaps in their ids share a group only if one ends before the other begins", async () => {
  const batch = (ids: string, queue = 1) =>
    batchOf(
      ids.split(",").map(() => "{}"),
      `${queueUuid(queue)}:${ids}`,
    );
  for (const [batches, groups] of [
    [
      [batch("1,9"), batch("5")],
      [1, 1],
    ],
    [
      [batch("5"), batch("1,9")],
      [1, 1],
    ],
    [
      [batch("1,4"), batch("4,9")],
      [1, 1],
    ],
    [
      [batch("4,9"), batch("1,4")],
      [1, 1],
    ],
    [[batch("1,4"), batch("5,9")], [2]],
    [[batch("5,9"), batch("1,4")], [2]],
    [[batch("1,9"), batch("5", 2), batchOf(["{}"])], [3]],
  ] as const) {
    const target = new Target();
    const sink = open(target, "never");
    await Promise.all(batches.map((batch) => sink.store(batch)));
    assert.deepEqual(
      target.steps.filter((step) => step !== "commit"),
      groups,
    );
  }
});

test("a group that cannot be synced is undone, and the sink continues", async () => {
  const target = new Target();
  const sink = open(target, "always");
  target.syncFails = true;
  await assert.rejects(sink.store(batchOf(["1"])), /EIO/);
  target.syncFails = false;
  await sink.store(batchOf(["1"]));
  assert.deepEqual(target.steps, [1, "sync", "undo", 1, "sync", "commit"]);
});

test("the sink rejects everything once a group could be neither synced nor undone", async () => {
  const target = new Target();
  const sink = open(target, "always");
  target.syncFails = true;
  target.undoFails = true;
  await assert.rejects(sink.store(batchOf(["1"])), /EIO/);
  target.syncFails = false;
  await assert.rejects(sink.store(batchOf(["2"])), /EIO/);
  assert.deepEqual(target.steps, [1, "sync", "undo"]);
  await sink.close();
});

test("with fsync interval, a write is synced later, and a failed sync makes the sink reject everything", async () => {
  const target = new Target();
  const sink = open(target, "interval");
  await sink.store(batchOf(["1"]));
  await eventually("a sync", () => target.steps.includes("sync"));
  target.syncFails = true;
  await sink.store(batchOf(["2"]));
  await eventually("another sync", () => target.steps.filter((step) => step === "sync").length === 2);
  await assert.rejects(sink.store(batchOf(["3"])), /EIO/);
});

test("close syncs what is not synced yet, except with fsync never", async () => {
  for (const [fsync, steps] of [
    ["always", [1, "sync", "commit", "close"]],
    ["interval", [1, "commit", "sync", "close"]],
    ["never", [1, "commit", "close"]],
  ] as const) {
    const target = new Target();
    const sink = new GroupCommitSink(target, { fsync, fsyncIntervalMs: 3_600_000 });
    const stored = sink.store(batchOf(["1"]));
    await sink.close();
    await stored;
    assert.deepEqual(target.steps, steps);
    await assert.rejects(sink.store(batchOf(["2"])), { code: "CLOSED", path: "/data/events" });
  }
});
