import { countOf } from "../../format.ts";
import { Claiming, progressOf } from "./drain.ts";
import { type Call, confirmed, JSON_OUTPUT, openToWrite, QUEUE_OR_OUTBOX, type Verb, YES } from "./verb.ts";

/** `eventspool purge` */
export const purge: Verb = {
  summary: "delete all waiting events; it asks first",
  options: { ...YES, ...QUEUE_OR_OUTBOX, ...JSON_OUTPUT },
  details: 'Events that a publisher has claimed stay, and so do dead letters ("dead purge" deletes these).',
  json: "one document: purged and left.",
  fails: "it was interrupted, or not confirmed",
  examples: ["", "--yes --queue-name audit"],
  async run(call: Call): Promise<number> {
    const file = openToWrite(call);
    const claiming = new Claiming(file);
    const depth = claiming.events.depth();
    const isSure = await confirmed(
      call,
      `Delete ${countOf(depth, "event")} of queue ${call.queue}? They cannot be restored.`,
    );
    const purged = isSure ? await purgeAll(claiming, call, depth) : 0;
    const left = claiming.events.depth();
    file.close();
    call.output.line(
      call.values.json
        ? JSON.stringify({ purged, left })
        : `Purged ${countOf(purged, "event")}, ${left} left.`,
    );
    return isSure && !call.stop.aborted ? 0 : 1;
  },
};

async function purgeAll(claiming: Claiming, call: Call, depth: number): Promise<number> {
  const tell = progressOf(call, depth);
  const lastId = claiming.events.counters().head; // not what is put meanwhile, or there may be no end
  let purged = 0;
  while (!call.stop.aborted) {
    const lease = claiming.next();
    if (lease === undefined) break;
    if (lease.firstId > lastId) {
      claiming.leases.release(lease);
      break;
    }
    if (await claiming.leases.ack(lease)) purged += lease.lastId - lease.firstId + 1;
    tell(purged);
  }
  return purged;
}
