/**
 * Put, claim, ack and depth in a queue with `waiting` events, or with none waiting and `retained` delivered ones, each in
 * microseconds per event.
 */
import { closeSync, fsyncSync, openSync } from "node:fs";
import process from "node:process";
import { EventTable } from "../../src/storage/events.ts";
import { LeaseTable } from "../../src/storage/leases.ts";
import { QueueFile } from "../../src/storage/queue_file.ts";
import { Checkpoints } from "../../src/storage/wal.ts";
import { median } from "../measure.ts";
import { randomEvent } from "./random_events.ts";
import { ownDirectory } from "./rounds.ts";

const BATCH = 1_500;
const BATCHES = 20;
/** How many rows a statement inserts. */
const FILL = 50_000;

const { waiting = 0, retained = 0 } = JSON.parse(process.argv[2] ?? "{}") as {
  waiting?: number;
  retained?: number;
};
const file = QueueFile.open(`${ownDirectory()}/events-main.db`, { role: "publisher" });
const events = new EventTable(file);
const leases = new LeaseTable(file, 60_000);
const checkpoints = new Checkpoints(file);
const pool = Array.from({ length: 1_000 }, randomEvent);
events.setMaxEvents(1e9);
fill(waiting + retained);
if (retained > 0) settle(retained);
checkpoints.truncateWal();
writeBack();

const usEach = (count: number, work: () => void): number => {
  const startedAtMs = performance.now();
  work();
  return ((performance.now() - startedAtMs) * 1_000) / count;
};
const puts = BATCH * BATCHES;
const put = () => {
  for (let n = 0; n < puts; n++) events.put(pool[n % 1_000] as Uint8Array);
};
put(); // warm up
checkpoints.truncateWal();
const putUs = usEach(puts, put);
const depthUs = usEach(10_000, () => {
  for (let look = 0; look < 10_000; look++) events.depth();
});
checkpoints.truncateWal();
// Medians: in a mean of so few batches, one that waits for a core decides: the mean was up to six times the median.
const claimsUs: number[] = [];
const acksUs: number[] = [];
for (let batch = 0; batch < BATCHES; batch++) {
  const claimFromMs = performance.now();
  const claimedId = leases.claimedId();
  leases.sum(claimedId + 1, claimedId + BATCH);
  const lease = leases.claim(claimedId, claimedId + BATCH);
  if (lease === undefined) throw new Error("nothing was claimed");
  const ackFromMs = performance.now();
  await leases.ack(lease);
  claimsUs.push(((ackFromMs - claimFromMs) * 1_000) / BATCH);
  acksUs.push(((performance.now() - ackFromMs) * 1_000) / BATCH);
}
console.log(JSON.stringify({ putUs, depthUs, claimUs: median(claimsUs), ackUs: median(acksUs) }));
file.close();

/** Events of 336 bytes, as fast as SQLite can insert them. */
function fill(count: number): void {
  const insert = file.prepare<[number, number]>(
    `WITH RECURSIVE ids(id) AS (SELECT ? UNION ALL SELECT id + 1 FROM ids WHERE id < ?)
     INSERT INTO eventspool_event (id, put_at_ms, body) SELECT id, unixepoch() * 1000, zeroblob(336) FROM ids`,
  );
  for (let id = 1; id <= count; id += FILL) {
    insert.run(id, Math.min(count, id + FILL - 1));
    checkpoints.truncateWal();
  }
}

/** Waits until the file is on the disk: while the kernel wrote 3.6 GB back, a claim took up to 1.4 times as long. */
function writeBack(): void {
  const descriptor = openSync(file.path, "r+");
  fsyncSync(descriptor);
  closeSync(descriptor);
}

/** As if all had been claimed and acked, with a retention. */
function settle(count: number): void {
  events.setRetention({ maxAgeMs: 86_400_000, maxBytes: undefined });
  file.db.exec(`
    UPDATE eventspool_subscription SET claimed_id = ${count}, settled_count = ${count};
    UPDATE eventspool_queue SET claimed_id = ${count}, settled_count = ${count}`);
}
