import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Lease, LeaseTable } from "../../../src/storage/leases.ts";
import { putEvents, type TestQueue, testQueue } from "../../support/queue_file.ts";

test("keeps every event in exactly one place, whatever is claimed and settled in whatever order", async () => {
  const name = fc.constantFrom("put", "claim", "reclaim", "ack", "release", "split", "deadLetter", "expire");
  const step = fc.record({ name, pick: fc.nat(1_000) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      using model = new Model();
      for (const { name, pick } of steps) {
        await model[name](pick);
        model.check();
      }
    }),
    { numRuns: 60 },
  );
});

/** Does to a queue file what producers and publishers do, and counts along. */
class Model implements Disposable {
  readonly #queue = testQueue();
  readonly #held: Lease[] = [];
  #put = 0;
  #acked = 0;

  put(pick: number): void {
    const count = (pick % 5) + 1;
    putEvents(this.#queue.events, count);
    this.#put += count;
  }

  claim(pick: number): void {
    const cursor = this.#queue.leases.claimedId();
    const waiting = [...this.#queue.leases.sizesAfter(cursor)].length;
    if (waiting > 0) this.#held.push(claim(this.#queue.leases, cursor, cursor + (pick % waiting) + 1));
  }

  reclaim(): void {
    const lease = this.#queue.leases.claimExpired();
    if (lease !== undefined) this.#held.push(lease);
  }

  /** All leases run out; those still held are lost as soon as they are claimed again. */
  expire(): void {
    this.#queue.file.db.exec("UPDATE eventspool_lease SET expires_at_ms = 0");
  }

  async ack(pick: number): Promise<void> {
    const lease = this.#take(pick);
    if (lease === undefined) return;
    const { count } = this.#queue.leases.read(lease);
    if (await this.#queue.leases.ack(lease)) this.#acked += count;
  }

  release(pick: number): void {
    const lease = this.#take(pick);
    if (lease !== undefined) this.#queue.leases.release(lease);
  }

  split(pick: number): void {
    const lease = this.#take(pick);
    if (lease !== undefined && lease.firstId < lease.lastId) this.#queue.leases.split(lease, lease.firstId);
  }

  deadLetter(pick: number): void {
    const lease = this.#take(pick);
    if (lease !== undefined) this.#queue.leases.deadLetter(lease, { status: 400, response: "" });
  }

  check(): void {
    const { depth, deadLetters } = this.#queue.events.state();
    assert.equal(depth + deadLetters + this.#acked, this.#put);
    assert.equal(depth, totalRows(this.#queue));
    const { db } = this.#queue.file;
    const leased = this.#queue.leases
      .all()
      .flatMap(({ firstId, lastId }) => Array.from({ length: lastId - firstId + 1 }, (_, i) => firstId + i));
    const claimed = db.prepareFirst<[number]>("SELECT id FROM eventspool_event WHERE id <= ? ORDER BY 1");
    assert.deepEqual(leased, claimed.all(this.#queue.leases.claimedId()), "each claimed event in one lease");
  }

  #take(pick: number): Lease | undefined {
    return this.#held.splice(pick % Math.max(1, this.#held.length), 1)[0];
  }

  [Symbol.dispose](): void {
    this.#queue[Symbol.dispose]();
  }
}

function claim(leases: LeaseTable, claimedId: number, lastId: number): Lease {
  const lease = leases.claim(claimedId, lastId);
  assert.ok(lease);
  return lease;
}

function totalRows(queue: TestQueue): number {
  return queue.file.db.prepareFirst("SELECT count(*) FROM eventspool_event").get() as number;
}
