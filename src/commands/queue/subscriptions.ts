import { parseLagLimit, parseSubscriptionStart } from "../../config/publisher_config.ts";
import { countOf, formatDuration, formatTable } from "../../format.ts";
import { subscriptionJson } from "../../storage/events.ts";
import { type SubscriptionState, SubscriptionTable } from "../../storage/subscriptions.ts";
import {
  type Call,
  confirmed,
  JSON_OUTPUT,
  type Options,
  openToRead,
  openToWrite,
  QUEUE_OR_OUTBOX,
  readOption,
  UsageError,
  type Verb,
  YES,
} from "./verb.ts";

const HEADER = ["NAME", "KIND", "DEPTH", "LEASED", "OLDEST", "SKIPPED", "DEAD", "REPLAY LEFT"];

/** `eventspool subscriptions list` */
export const subscriptionsList: Verb = {
  summary: "show the subscriptions of a queue, and how far behind each is",
  options: { ...QUEUE_OR_OUTBOX, ...JSON_OUTPUT },
  details: "DEPTH counts waiting and leased events, but not those of a replay.",
  json: "one document per subscription, each on a line: name, required, lag_limit_events, lag_limit_seconds, depth, leased, oldest_event_age_seconds, skipped, replay_left and dead_letters.",
  examples: ["", "--json"],
  run(call: Call): number {
    using file = openToRead(call);
    const subscriptions = new SubscriptionTable(file).list();
    if (call.values.json)
      for (const subscription of subscriptions)
        call.output.line(JSON.stringify(subscriptionJson(subscription)));
    else for (const line of formatTable(HEADER, subscriptions.map(toCells))) call.output.line(line);
    return 0;
  },
};

const START: Options = {
  start: {
    type: "string",
    value: "EVENT",
    default: "now",
    help: "its first event: now for the next one that is put, oldest, an id, or a time such as 2026-05-01T12:00:00Z (default: now)",
  },
};

/** `eventspool subscriptions add` */
export const subscriptionsAdd: Verb = {
  summary: "add a subscription, which gets every event",
  args: "NAME",
  options: {
    ...START,
    "lag-limit": {
      type: "string",
      value: "LIMIT",
      help: "how far it may lag before it skips events, in events or as a time (default: it skips none, and puts are rejected)",
      example: "1h",
    },
    ...QUEUE_OR_OUTBOX,
  },
  details:
    "A publisher serves it with publisher.subscription = NAME. Until one does, its events stay, and count towards the cap.",
  fails: "the subscription exists",
  examples: ["audit", "audit --start oldest", "search --lag-limit 100000"],
  run(call: Call): number {
    const name = onlyName(call);
    const start = readOption(call, "start", parseSubscriptionStart)!;
    const limit = readOption(call, "lag-limit", parseLagLimit) ?? {};
    using file = openToWrite(call);
    const subscriptions = new SubscriptionTable(file);
    const isNew = subscriptions.add(name, { start, limit });
    const { depth } = subscriptions.get(name);
    call.output.line(
      isNew
        ? `Added subscription ${name}, with ${countOf(depth, "event")}.`
        : `Subscription ${name} exists, and is as it was.`,
    );
    return isNew ? 0 : 1;
  },
};

/** `eventspool subscriptions remove` */
export const subscriptionsRemove: Verb = {
  summary: "remove a subscription with its dead letters; it asks first",
  args: "NAME",
  options: { ...YES, ...QUEUE_OR_OUTBOX },
  details: "The other subscriptions keep their events. Stop its publisher first, or it fails.",
  fails: "it was not confirmed",
  examples: ["audit", "audit --yes"],
  async run(call: Call): Promise<number> {
    const name = onlyName(call);
    using file = openToWrite(call);
    const subscriptions = new SubscriptionTable(file);
    const { depth, deadLetters } = subscriptions.get(name);
    const question = `Remove subscription ${name}, which ${countOf(depth, "event")} would not reach, with ${countOf(deadLetters, "dead letter")}? They cannot be restored.`;
    const isSure = await confirmed(call, question);
    if (isSure) subscriptions.remove(name);
    if (isSure) call.output.line(`Removed subscription ${name}.`);
    return isSure ? 0 : 1;
  },
};

/** `eventspool subscriptions seek` */
export const subscriptionsSeek: Verb = {
  summary: "move a subscription to another event; it asks first",
  args: "NAME EVENT",
  options: { ...YES, ...QUEUE_OR_OUTBOX },
  details:
    'EVENT is now for the next one that is put, oldest, an id, or a time such as 2026-05-01T12:00:00Z. Events before it are never sent. It and all later events are sent, even if they were sent before. Events that a publisher has claimed may arrive twice. To send events again without moving the subscription, use "replay".',
  fails: "it was not confirmed",
  examples: ["audit oldest", "audit 2026-05-01T12:00:00Z --yes", "search now"],
  async run(call: Call): Promise<number> {
    const [name, event, ...rest] = call.args;
    if (name === undefined || event === undefined || rest.length > 0)
      throw new UsageError("expected a subscription and an event, such as: audit oldest.");
    const start = parseSubscriptionStart(event);
    using file = openToWrite(call);
    const subscriptions = new SubscriptionTable(file);
    const before = subscriptions.get(name).depth;
    const isSure = await confirmed(call, `Let subscription ${name} go on from ${event}?`);
    const firstId = isSure ? subscriptions.seek(name, start) : 0;
    const { depth } = subscriptions.get(name);
    if (isSure)
      call.output.line(
        `Subscription ${name} goes on from event ${firstId}: ${countOf(depth, "event")}, ${before} before.`,
      );
    return isSure ? 0 : 1;
  },
};

function onlyName({ args }: Call): string {
  const [name, ...rest] = args;
  if (name === undefined || rest.length > 0) throw new UsageError("expected the name of one subscription.");
  return name;
}

function toCells(subscription: SubscriptionState): string[] {
  const { name, depth, leased, oldestPutAtMs, skipped, deadLetters, replayLeft } = subscription;
  const oldest = oldestPutAtMs === undefined ? "-" : formatDuration(Date.now() - oldestPutAtMs);
  return [
    name,
    kindOf(subscription),
    String(depth),
    String(leased),
    oldest,
    String(skipped),
    String(deadLetters),
    String(replayLeft),
  ];
}

function kindOf({ isRequired, maxLagEvents, maxLagMs }: SubscriptionState): string {
  if (isRequired) return "required";
  const limits = [
    ...(maxLagEvents === undefined ? [] : [countOf(maxLagEvents, "event")]),
    ...(maxLagMs === undefined ? [] : [formatDuration(maxLagMs)]),
  ];
  return `best-effort, ${limits.join(", ")}`;
}
