/**
 * What belongs together is committed together: a process that is killed between two commits would leave half of it. A
 * power cut finds such a gap only by luck (none of 500 did), so the commits in the -wal are counted.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { DeadLetterTable } from "../../../src/storage/dead_letters.ts";
import type { Lease } from "../../../src/storage/leases.ts";
import { SubscriptionTable } from "../../../src/storage/subscriptions.ts";
import { Trimmer } from "../../../src/storage/trim.ts";
import { deadLetter } from "../../support/dead_letters.ts";
import { putEvents, type TestQueue, testQueue } from "../../support/queue_file.ts";

// https://www.sqlite.org/fileformat2.html#walformat
const WAL_HEADER_BYTES = 32;
const FRAME_BYTES = 24 + 4_096;
const PAGES_AFTER_COMMIT_AT = 4;

/** An idle time after which little is trimmed, too. */
const QUIET_MS = 60_000;

/** How many transactions are in the -wal: the last frame of each says how many pages the file has then. */
function commitsIn({ file }: TestQueue): number {
  const wal = readFileSync(`${file.path}-wal`);
  let commits = 0;
  for (let at = WAL_HEADER_BYTES; at < wal.length; at += FRAME_BYTES)
    if (wal.readUInt32BE(at + PAGES_AFTER_COMMIT_AT) > 0) commits++;
  return commits;
}

test("each change to a queue is one transaction", () => {
  using queue = testQueue();
  const { file, events, leases } = queue;
  const subscriptions = new SubscriptionTable(file);
  const letters = new DeadLetterTable(file);
  const rejection = { status: 422, response: "no" };
  /** Asserts that a change is one commit, and returns its result. */
  const once = <T>(name: string, change: () => T): T => {
    const before = commitsIn(queue);
    const result = change();
    assert.equal(commitsIn(queue) - before, 1, name);
    return result;
  };
  const settle = (name: string, count: number, change: (lease: Lease) => unknown): void => {
    const { claimedId } = leases.state();
    const lease = once("a claim", () => leases.claim(claimedId, claimedId + count))!;
    once(name, () => change(lease));
  };

  once("several puts at once", () => putEvents(events, 40));
  settle("an ack", 3, (lease) => leases.ack(lease));
  settle("a split", 3, (lease) => leases.split(lease, 5));
  settle("a dead letter", 3, (lease) => deadLetter(leases, lease, rejection));
  const outcomes = { dead: [{ id: 11, ...rejection }], kept: [12, 14, 15] };
  settle("a batch that is accepted in part", 9, (lease) => leases.settle(lease, outcomes));
  once("a retry of dead letters", () => letters.retry([7, 9], events));
  once("a purge of dead letters", () => letters.purge([8, 11]));
  const limit = { maxEvents: 4 };
  once("a subscription that is added", () => subscriptions.add("audit", { start: "oldest", limit }));
  once("the skips of a subscription", () => subscriptions.skipLagging());
  once("a subscription that is removed", () => subscriptions.remove("audit"));
  subscriptions.replay("default", { firstId: 1, lastId: 3 });
  once("a replay", () => leases.claimReplay(leases.replayRange()!, 2));
  once("a seek", () => subscriptions.seek("default", 20));
  once("a new epoch", () => leases.epochs.rolledBack(21, leases.epochs.uuidAt(21)));
  settle("an ack", 9, (lease) => leases.ack(lease));
  const trimmer = new Trimmer(file);
  assert.ok(once("a trim that clears the table", () => trimmer.onIdle(QUIET_MS)));
  assert.ok(events.read({ fromId: 0, limit: 1 }).length > 0, "and puts events back");
  settle("an ack", 5, (lease) => leases.ack(lease));
  events.setRetention({ maxAgeMs: 1 });
  file.db.exec("UPDATE eventspool_event SET put_at_ms = 0");
  assert.ok(once("a trim that deletes a chunk", () => trimmer.onIdle(QUIET_MS)));
});
