import { setTimeout as sleep } from "node:timers/promises";
import { integerIn, parseAge } from "../../config/parsers.ts";
import { countOf, formatSize } from "../../format.ts";
import { EventTable } from "../../storage/events.ts";
import { type IdBounds, SubscriptionTable } from "../../storage/subscriptions.ts";
import {
  type Call,
  hint,
  OF_SUBSCRIPTION,
  openToRead,
  openToWrite,
  readOption,
  subscriptionOf,
  UsageError,
  type Verb,
} from "./verb.ts";

const parseId = integerIn({ min: 1, max: Number.MAX_SAFE_INTEGER });

/** How often progress is looked at and printed, in milliseconds. */
const PROGRESS_EVERY_MS = 1_000;

/** After how many looks without progress a hint is printed. */
const STALLED_LOOKS = 5;

/** `eventspool replay` */
export const replay: Verb = {
  summary: "send retained events again, with the same ids",
  options: {
    since: {
      type: "string",
      value: "TIME",
      help: "those put within this time, such as 2h",
      example: "2h",
    },
    from: { type: "string", value: "ID", help: "those from this id on", example: "1200" },
    to: {
      type: "string",
      value: "ID",
      help: "those up to this id (default: all that are delivered)",
      example: "1400",
    },
    "dry-run": { type: "boolean", help: "only count them" },
    stop: { type: "boolean", help: "end a replay; events that it has not sent yet are not sent" },
    ...OF_SUBSCRIPTION,
  },
  details:
    "The subscription's publisher sends them when no new event waits. A collector that verifies Event-Ids, and JetStream, drop events that they already have. The progress is stored in the queue file: if this command or the publisher is killed, the replay continues. Without a range, it waits for the replay in progress. An interrupt ends the replay.",
  json: "one document: subscription, first_id, last_id, events, bytes, and left (events still to send; null after --dry-run).",
  fails: "there is nothing to send again, or it was interrupted",
  examples: ["--since 2h --dry-run", "--since 2h", "--from 1200 --to 1400 --subscription audit", "--stop"],
  async run(call: Call): Promise<number> {
    const { subscription } = subscriptionOf(call);
    if (call.values.stop) return stop(call, subscription);
    const isDryRun = call.values["dry-run"] === true;
    using file = isDryRun ? openToRead(call) : openToWrite(call);
    const subscriptions = new SubscriptionTable(file);
    const range = rangeOf(call, subscriptions);
    if (range === undefined) return await follow(call, { subscriptions, subscription, replayed: undefined });
    const bounds = isDryRun
      ? subscriptions.replayable(subscriptions.get(subscription), range)
      : subscriptions.replay(subscription, range);
    if (bounds === undefined) {
      call.output.note(nothingLeft(new EventTable(file)));
      return 1;
    }
    const replayed = { ...bounds, ...subscriptions.sum(bounds) };
    if (isDryRun) print(call, { subscription, replayed, left: undefined });
    else return await follow(call, { subscriptions, subscription, replayed });
    return 0;
  },
};

type Replayed = IdBounds & { readonly count: number; readonly bytes: number };

function stop(call: Call, subscription: string): number {
  using file = openToWrite(call);
  const subscriptions = new SubscriptionTable(file);
  const { replayLeft } = subscriptions.get(subscription);
  subscriptions.stopReplay(subscription);
  call.output.line(
    `Stopped the replay of subscription ${subscription}: ${countOf(replayLeft, "event")} left.`,
  );
  return 0;
}

/** Undefined: none is given. */
function rangeOf(call: Call, subscriptions: SubscriptionTable): IdBounds | undefined {
  const since = readOption(call, "since", parseAge);
  const from = readOption(call, "from", parseId);
  const to = readOption(call, "to", parseId);
  if (since !== undefined && from !== undefined)
    throw new UsageError("--since and --from both say where to begin: pass one of them.");
  if (since === undefined && from === undefined && to === undefined) {
    if (subscriptions.get(subscriptionOf(call).subscription).replayLeft > 0) return undefined;
    throw new UsageError(
      `which events? Pass --since or --from, for example: ${hint(call, "replay --since 2h")}`,
    );
  }
  const firstId = since === undefined ? (from ?? 1) : subscriptions.firstIdAt(Date.now() - since);
  const lastId = to ?? Number.MAX_SAFE_INTEGER;
  if (lastId < firstId) throw new UsageError(`--to ${lastId} is below the first event, ${firstId}.`);
  return { firstId, lastId };
}

/** Waits for the end, with progress on stderr. */
async function follow(
  call: Call,
  {
    subscriptions,
    subscription,
    replayed,
  }: { subscriptions: SubscriptionTable; subscription: string; replayed: Replayed | undefined },
): Promise<number> {
  let left = subscriptions.get(subscription).replayLeft;
  const total = left;
  for (let looks = 0; left > 0 && !call.stop.aborted; looks++) {
    await sleep(PROGRESS_EVERY_MS, undefined, { signal: call.stop }).catch(() => {}); // interrupted
    const before = left;
    left = subscriptions.get(subscription).replayLeft;
    if (left < before) looks = 0;
    if (left > 0) call.output.note(`${total - left} of ${total} ...`);
    if (looks === STALLED_LOOKS) call.output.note(`No publisher sends them: see ${hint(call, "status")}`);
  }
  if (left > 0) subscriptions.stopReplay(subscription);
  print(call, { subscription, replayed, left });
  return left > 0 ? 1 : 0;
}

function print(
  { values, output }: Call,
  {
    subscription,
    replayed,
    left,
  }: { subscription: string; replayed: Replayed | undefined; left: number | undefined },
): void {
  const { firstId, lastId, count, bytes } = replayed ?? {};
  if (values.json) {
    const ids = { first_id: firstId, last_id: lastId, events: count, bytes };
    output.line(JSON.stringify({ subscription, ...ids, left: left ?? null }));
    return;
  }
  const events = replayed
    ? `${countOf(replayed.count, "event")} (${formatSize(replayed.bytes)}, ids ${firstId} to ${lastId})`
    : "all events of the replay";
  if (left === undefined) output.line(`Would send ${events} again.`);
  else if (left === 0) output.line(`Sent ${events} again.`);
  else output.line(`Stopped: ${countOf(left, "event")} were not sent again.`);
}

function nothingLeft(events: EventTable): string {
  const { maxAgeMs, maxBytes } = events.retention();
  const isKept = maxAgeMs !== undefined || maxBytes !== undefined;
  return isKept
    ? "None of these events is delivered and still in the file."
    : "None of these events is delivered and still in the file: delivered events stay only with queue.retention.";
}
