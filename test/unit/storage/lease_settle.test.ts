import assert from "node:assert/strict";
import { test } from "node:test";
import { DeadLetterTable } from "../../../src/storage/dead_letters.ts";
import fc from "../../support/fast_check.ts";
import { putEvents, type TestQueue, testQueue } from "../../support/queue_file.ts";

const REFUSAL = { status: 422, response: "no noun" };

function idsIn({ events }: TestQueue): number[] {
  return events.readWaiting({ fromId: 1, limit: 1_000 }).map(({ id }) => id);
}

function deadIdsIn({ file }: TestQueue): number[] {
  return new DeadLetterTable(file).list({ limit: 1_000 }).map(({ id }) => id);
}

test("ends a lease event by event: delivered, dead, or given back", () => {
  using queue = testQueue();
  putEvents(queue.events, 10);
  const lease = queue.leases.claim(0, 8)!;

  const dead = [{ id: 3, ...REFUSAL }];
  assert.equal(queue.leases.settle(lease, { dead, kept: [4, 5, 8] }), 0);

  assert.deepEqual(idsIn(queue), [4, 5, 8, 9, 10]);
  assert.deepEqual(deadIdsIn(queue), [3]);
  assert.deepEqual(
    queue.leases.all().map(({ firstId, lastId, attempts }) => [firstId, lastId, attempts]),
    [
      [4, 5, 1],
      [8, 8, 1],
    ],
  );
  assert.equal(queue.events.depth(), 5);
  assert.deepEqual(queue.leases.claimExpired()?.firstId, 4, "at once");
  assert.equal(queue.leases.settle(lease, { dead: [], kept: [] }), undefined, "it is not ours any more");
});

test("counts each event, whether it is delivered, dead or kept", () => {
  const fates = fc.array(fc.constantFrom("delivered", "dead", "kept"), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(fates, (fates) => {
      using queue = testQueue();
      putEvents(queue.events, fates.length + 1);
      const lease = queue.leases.claim(0, fates.length)!;
      const idsOf = (fate: string) => fates.flatMap((each, index) => (each === fate ? [index + 1] : []));

      const dead = idsOf("dead").map((id) => ({ id, ...REFUSAL }));
      queue.leases.settle(lease, { dead, kept: idsOf("kept") });

      assert.deepEqual(idsIn(queue), [...idsOf("kept"), fates.length + 1]);
      assert.deepEqual(deadIdsIn(queue), idsOf("dead"));
      assert.equal(queue.events.depth(), idsOf("kept").length + 1);
      const leased = queue.leases.all().reduce((sum, { firstId, lastId }) => sum + lastId - firstId + 1, 0);
      assert.equal(leased, idsOf("kept").length);
    }),
    { numRuns: 50 },
  );
});
