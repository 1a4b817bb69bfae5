import { countOf } from "../../format.ts";
import { EventTable } from "../../storage/events.ts";
import type { QueueFile } from "../../storage/queue_file.ts";
import { SubscriptionTable } from "../../storage/subscriptions.ts";
import { Trimmer } from "../../storage/trim.ts";
import { Claiming, progressOf } from "./drain.ts";
import {
  type Call,
  confirmed,
  JSON_OUTPUT,
  type Options,
  openToWrite,
  QUEUE_OR_OUTBOX,
  type Verb,
  YES,
} from "./verb.ts";

const OF_ONE: Options = {
  subscription: { type: "string", value: "NAME", help: "only those of one subscription", example: "default" },
};

/** `eventspool purge` */
export const purge: Verb = {
  summary: "delete all waiting events; it asks first",
  options: { ...YES, ...OF_ONE, ...QUEUE_OR_OUTBOX, ...JSON_OUTPUT },
  details:
    'Delivered events that are retained are deleted, too. Events that a publisher has claimed stay, and so do dead letters ("dead purge" deletes these).',
  json: "one document: purged and left, for the subscription with the most events.",
  fails: "it was interrupted, or not confirmed",
  examples: ["", "--yes --queue-name audit"],
  async run(call: Call): Promise<number> {
    using file = openToWrite(call);
    const names = subscriptionsOf(call, new SubscriptionTable(file));
    const depthOf = (): number =>
      Math.max(
        ...new SubscriptionTable(file)
          .list()
          .filter(({ name }) => names.includes(name))
          .map(({ depth }) => depth),
      );
    const question = `Delete ${countOf(depthOf(), "event")} of queue ${call.queue}? They cannot be restored.`;
    const isSure = await confirmed(call, question);
    const purged = isSure ? purgeAll(file, names, call) : 0;
    const left = depthOf();
    call.output.line(
      call.values.json
        ? JSON.stringify({ purged, left })
        : `Purged ${countOf(purged, "event")}, ${left} left.`,
    );
    return isSure && !call.stop.aborted ? 0 : 1;
  },
};

function subscriptionsOf({ values }: Call, subscriptions: SubscriptionTable): string[] {
  if (values.subscription === undefined) return subscriptions.list().map(({ name }) => name);
  return [subscriptions.get(String(values.subscription)).name];
}

/** Settles all that waits, and then deletes what no subscription needs. Returns how many events they were for the one with most. */
function purgeAll(file: QueueFile, names: readonly string[], call: Call): number {
  const { newestId } = new EventTable(file).counters(); // not what is put meanwhile, or there may be no end
  const counts = names.map((name) => settleAll(new Claiming(file, name), newestId, call));
  new Trimmer(file).purge(newestId);
  return Math.max(...counts);
}

function settleAll(claiming: Claiming, lastId: number, call: Call): number {
  const print = progressOf(call, claiming.events.depth());
  let settled = 0;
  while (!call.stop.aborted) {
    const lease = claiming.next();
    if (lease === undefined) break;
    if (lease.firstId > lastId) {
      claiming.leases.release(lease);
      break;
    }
    if (claiming.leases.ack(lease)) settled += lease.lastId - lease.firstId + 1;
    print(settled);
  }
  return settled;
}
