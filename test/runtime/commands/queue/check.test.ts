import assert from "node:assert/strict";
import { test } from "node:test";
import { LeaseTable } from "../../../../src/storage/leases.ts";
import { QueueFile } from "../../../../src/storage/queue_file.ts";
import { Spool } from "../../../support/spool.ts";
import { insertDeadLetters, LIMIT, queue } from "./queue_support.ts";

test("finds nothing wrong with a healthy queue", LIMIT, async () => {
  using spool = new Spool();
  spool.put(3);
  const { code, stdout } = await queue(spool, ["check"]);
  assert.equal(code, 0, stdout);
  assert.doesNotMatch(stdout, /PROBLEM|WARNING/);
  assert.match(stdout, /integrity_check: ok/);
});

test("finds what is wrong with a queue, and says what to do", LIMIT, async () => {
  using spool = new Spool();
  spool.put(20);
  insertDeadLetters(spool, 1);
  const db = QueueFile.open(spool.queue.file);
  new LeaseTable(db, 1).claim(1, 4);
  const hour = 3_600_000;
  db.db.exec(`
    UPDATE eventspool_lease SET expires_at_ms = ${Date.now() - hour};
    INSERT INTO eventspool_lease (subscription_id, first_id, last_id, claimed_at_ms, expires_at_ms, attempts, sends)
      VALUES (1, 5, 6, ${Date.now() + hour}, ${Date.now() + 2 * hour}, 1, 1);
    INSERT INTO eventspool_epoch VALUES (7, 'u-u-i-d', 'rolled_back', ${Date.now() - hour});
    UPDATE eventspool_queue SET claimed_id = 8, max_events = 20;
    UPDATE eventspool_subscription SET claimed_id = 8, dropped_dead_letter_count = 2,
      skipped_count = 3, skipped_at_ms = ${Date.now() - hour};
    UPDATE eventspool_event SET put_at_ms = ${Date.now() - hour};
    INSERT INTO eventspool_rejected_put VALUES ('full', 7)`);
  db.close();

  const { code, stdout } = await queue(spool, ["check"]);
  assert.equal(code, 1);
  for (const finding of [
    /WARNING {2}the queue is nearly full: 19 of at most 20 events/,
    /PROBLEM {2}the oldest event has waited for 1h/,
    /PROBLEM {2}1 of 2 leases expired, and no publisher claims them\n +-> no publisher runs.*: .*queue\.ts status$/m,
    /WARNING {2}1 of 2 leases have a claim time in the future\n +-> the clock was set back/,
    /PROBLEM {2}2 events were claimed and are in no lease/,
    /WARNING {2}1 dead letter .*\n +-> see why, .*: .*queue\.ts dead list$/m,
    /WARNING {2}subscription default has skipped 3 events, last 1h ago/,
    /WARNING {2}2 dead letters were dropped to make room/,
    /WARNING {2}puts rejected so far: 7 full/,
    /ok {7}events from 1 on are [\da-f-]{36}:ID since .*: the queue was created/,
    /WARNING {2}events from 7 on are u-u-i-d:ID since .*: the file was rolled back in place\n +-> find out who/,
  ])
    assert.match(stdout, finding);
});

test("finds a process that holds the write lock", LIMIT, async () => {
  using spool = new Spool();
  const holder = QueueFile.open(spool.queue.file);
  holder.db.exec("BEGIN IMMEDIATE");
  const { code, stdout } = await queue(spool, ["check"]);
  holder.db.exec("COMMIT");
  holder.close();
  assert.equal(code, 1);
  assert.match(stdout, /PROBLEM {2}.*stayed locked by another process/);
});
