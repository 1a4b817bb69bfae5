/**
 * Taking events out of a queue as a publisher does: by leases, so that one that runs beside us and ourselves
 * never have the same event.
 *
 * @module
 */
import { EventTable } from "../../storage/events.ts";
import { type Lease, LeaseTable } from "../../storage/leases.ts";
import type { QueueFile } from "../../storage/queue_file.ts";
import type { Call } from "./verb.ts";

/** How long a claim holds if we are killed, in milliseconds. */
const LEASE_MS = 60_000;

/** How many events are claimed at once, and how many bytes of them. */
const CLAIM_EVENTS = 1_000;
const CLAIM_BYTES = 4_194_304;

/** How often progress is told, in milliseconds. */
const PROGRESS_EVERY_MS = 1_000;

/** Claims all events that nobody holds, batch by batch. */
export class Claiming {
  readonly leases: LeaseTable;
  readonly events: EventTable;

  constructor(file: QueueFile) {
    this.leases = new LeaseTable(file, LEASE_MS);
    this.events = new EventTable(file);
  }

  /** The next batch; undefined: there is nothing that nobody holds. */
  next(): Lease | undefined {
    const given = this.leases.claimExpired();
    if (given !== undefined) return given;
    for (;;) {
      const claimedId = this.leases.claimedId();
      const firstId = this.leases.firstIdAfter(claimedId);
      if (firstId === undefined) return undefined;
      const lease = this.leases.claim(claimedId, firstId + this.#countFrom(firstId) - 1);
      if (lease !== undefined) return lease; // else a publisher was faster: look again
    }
  }

  #countFrom(firstId: number): number {
    let count = 0;
    let bytes = 0;
    for (const eventBytes of this.leases.sizesAfter(firstId - 1)) {
      bytes += eventBytes;
      if (count > 0 && (count === CLAIM_EVENTS || bytes > CLAIM_BYTES)) break;
      count++;
    }
    return count;
  }
}

/** Tells on stderr how far it is, about once a second. */
export function progressOf({ output }: Pick<Call, "output">, total: number): (done: number) => void {
  let toldAtMs = performance.now();
  return (done) => {
    const nowMs = performance.now();
    if (nowMs - toldAtMs < PROGRESS_EVERY_MS) return;
    toldAtMs = nowMs;
    output.note(`${done} of ${total} ...`);
  };
}
