import { join } from "node:path";
import { EventTable } from "../../src/storage/events.ts";
import { type Lease, LeaseTable } from "../../src/storage/leases.ts";
import { QueueFile } from "../../src/storage/queue_file.ts";

/** A collector's response, if a test says nothing else. */
const REJECTION = { status: 422, response: '{"error":"noun: expected a word"}' };

/** Makes a dead letter of each event of a lease. Returns how many older ones were dropped; undefined: the lease was lost. */
export function deadLetter(
  leases: LeaseTable,
  lease: Lease,
  rejection: { status: number; response: string },
): number | undefined {
  const ids = Array.from({ length: lease.lastId - lease.firstId + 1 }, (_, index) => lease.firstId + index);
  return leases.settle(lease, { dead: ids.map((id) => ({ id, ...rejection })), kept: [] });
}

/** Puts each body into the empty queue `main` of a directory, and has the collector reject it by itself. */
export function insertDeadLetters(
  directory: string,
  bodies: readonly (string | Uint8Array)[],
  rejection: { status: number; response: string } = REJECTION,
): void {
  const file = QueueFile.open(join(directory, "events-main.db"), { busyTimeoutMs: 5_000 });
  const events = new EventTable(file);
  const leases = new LeaseTable(file, 60_000);
  const putAndReject = (body: string | Uint8Array): void => {
    const before = events.counters().newestId;
    events.put(Buffer.from(body));
    deadLetter(leases, leases.claim(before, before + 1)!, rejection);
  };
  for (const body of bodies) file.transaction(() => putAndReject(body)); // or a publisher that runs would claim it
  file.close();
}
