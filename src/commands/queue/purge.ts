import { countOf } from "../../format.ts";
import { confirmed } from "./dead.ts";
import { Claiming, progressOf } from "./drain.ts";
import { type Call, openToWrite, type Verb } from "./verb.ts";

/** `queue purge` */
export const purge: Verb = {
  summary: "delete all waiting events for good; asks",
  usage: "[--yes]",
  help: `  --yes             do not ask

What a publisher holds is left to it; so are the dead letters (queue dead purge).
`,
  options: { yes: { type: "boolean" } },
  async run(call: Call): Promise<number> {
    const file = openToWrite(call);
    const claiming = new Claiming(file);
    const depth = claiming.events.depth();
    const isSure = await confirmed(
      call,
      `Delete ${countOf(depth, "event")} of queue ${call.queue} for good?`,
    );
    const purged = isSure ? await purgeAll(claiming, call, depth) : 0;
    const left = claiming.events.depth();
    file.close();
    call.output.line(
      call.values.json
        ? JSON.stringify({ purged, left })
        : `${countOf(purged, "event")} deleted, ${left} left.`,
    );
    return isSure && !call.stop.aborted ? 0 : 1;
  },
};

async function purgeAll(claiming: Claiming, call: Call, depth: number): Promise<number> {
  const tell = progressOf(call, depth);
  const lastId = claiming.events.counters().newestId; // not what is put meanwhile, or there may be no end
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
