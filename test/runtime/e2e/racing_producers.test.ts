import assert from "node:assert/strict";
import { test } from "node:test";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { LeaseTable } from "../../../src/storage/leases.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { type Program, start } from "../../support/processes.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

interface Count {
  readonly stored: number;
  readonly rejected: number;
  readonly failed: string[];
}

test("holds the cap to the row while four processes that open a new file at once race for it", async () => {
  using directory = temporaryDirectory();
  const counts = await race(directory.path, { puts: 400, maxEvents: 300 });

  assert.deepEqual(
    counts.flatMap(({ failed }) => failed),
    [],
  );
  assert.equal(sum(counts, "stored"), 300, "never one row over, never rejected while below");
  assert.equal(sum(counts, "rejected"), 1_300);
  using queue = new EventQueue("race", Buffer.from, { directory: directory.path });
  assert.equal(queue.depth(), 300);
});

test("shows no producer a busy database while four of them put and a publisher claims and acks", async () => {
  using directory = temporaryDirectory();
  new EventQueue("race", Buffer.from, { directory: directory.path }).close();
  const file = QueueFile.open(`${directory.path}/events-race.db`, {
    role: "publisher",
    busyTimeoutMs: 30_000,
  });
  const leases = new LeaseTable(file, 60_000);
  let removed = 0;
  let racing = true;
  const publish = async (): Promise<void> => {
    while (racing || [...leases.sizesAfter(leases.claimedId())].length > 0) {
      const cursor = leases.claimedId();
      const waiting = Math.min([...leases.sizesAfter(cursor)].length, 500);
      const lease = waiting > 0 ? leases.claim(cursor, cursor + waiting) : undefined;
      if (lease !== undefined && (await leases.ack(lease))) removed += waiting;
      await new Promise((resolve) => setTimeout(resolve));
    }
  };

  const publishing = publish();
  const counts = await race(directory.path, { puts: 3_000, maxEvents: 1_000_000 }).finally(() => {
    racing = false;
  });
  await publishing;
  file.close();

  assert.deepEqual(
    counts.flatMap(({ failed }) => failed),
    [],
  );
  assert.equal(sum(counts, "stored"), 12_000);
  assert.equal(removed, 12_000, "each event was claimed and acked exactly once");
});

async function race(
  directory: string,
  { puts, maxEvents }: { puts: number; maxEvents: number },
): Promise<Count[]> {
  const args = [directory, String(puts), String(maxEvents)];
  const producers = Array.from({ length: 4 }, () => start("test/support/programs/racing_producer.ts", args));
  await Promise.all(producers.map((producer) => producer.line(/^ready$/)));
  for (const producer of producers) producer.child.stdin?.write("go\n");
  return Promise.all(producers.map(report));
}

async function report(producer: Program): Promise<Count> {
  const line = await producer.line(/^\{/);
  await producer.ended;
  return JSON.parse(line) as Count;
}

function sum(counts: Count[], key: "stored" | "rejected"): number {
  return counts.reduce((total, count) => total + count[key], 0);
}
