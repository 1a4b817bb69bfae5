import { integerIn, parseAge } from "../../config/parsers.ts";
import { countOf } from "../../format.ts";
import { type EventRow, EventTable } from "../../storage/events.ts";
import { LeaseTable } from "../../storage/leases.ts";
import { SubscriptionTable } from "../../storage/subscriptions.ts";
import { EVENT_JSON_HELP, EventPrinter } from "./peek.ts";
import {
  type Call,
  OF_SUBSCRIPTION,
  openToRead,
  readOption,
  subscriptionOf,
  UsageError,
  type Verb,
} from "./verb.ts";

const parseCount = integerIn({ min: 1, max: 1_000_000 });

/** How many events are read at once. */
const PAGE_EVENTS = 1_000;

/** `eventspool find` */
export const find: Verb = {
  summary: "search the events in the file, including retained delivered ones",
  args: "[TEXT]",
  options: {
    field: {
      type: "string",
      value: "PATH=VALUE",
      help: "those whose JSON has this value at this path, such as order.id=42",
      example: "order.id=42",
    },
    since: {
      type: "string",
      value: "TIME",
      help: "only those put within this time, such as 2h",
      example: "2h",
    },
    number: {
      type: "string",
      short: "n",
      value: "COUNT",
      default: "100",
      help: "how many at most (default: 100)",
    },
    ...OF_SUBSCRIPTION,
  },
  details:
    "TEXT is a part of the event as it was put, byte for byte. With --field, an event must match both.",
  json: EVENT_JSON_HELP,
  fails: "no event matches",
  examples: ["ann@example.com", "--field order.id=42 --since 2h", "signup --json"],
  run(call: Call): number {
    const matches = matcherOf(call);
    const limit = readOption(call, "number", parseCount)!;
    const since = readOption(call, "since", parseAge);
    using file = openToRead(call);
    const firstId = since === undefined ? 1 : new SubscriptionTable(file).firstIdAt(Date.now() - since);
    const leases = new LeaseTable(file, 0, subscriptionOf(call));
    const printer = new EventPrinter(call);
    let found = 0;
    for (const page of pagesFrom(new EventTable(file), firstId)) {
      const matching = page.filter(matches).slice(0, limit - found);
      printer.print(matching, leases);
      found += matching.length;
      if (found === limit || call.stop.aborted) break;
    }
    if (!call.values.json) call.output.note(`${countOf(found, "event")} found.`);
    return found > 0 ? 0 : 1;
  },
};

/** Short reads, since a long one would keep the publisher's checkpoints from ending. */
function* pagesFrom(events: EventTable, firstId: number): Generator<EventRow[]> {
  for (let fromId = firstId; ; ) {
    const page = events.read({ fromId, limit: PAGE_EVENTS });
    if (page.length === 0) return;
    yield page;
    fromId = page.at(-1)!.id + 1;
  }
}

function matcherOf({ args, values }: Call): (event: EventRow) => boolean {
  const [text, ...rest] = args;
  const field = values.field as string | undefined;
  if (rest.length > 0) throw new UsageError("expected one text: quote it, if it has spaces.");
  if (text === undefined && field === undefined)
    throw new UsageError("find what? Pass a text, or --field order.id=42.");
  const bytes = text === undefined ? undefined : Buffer.from(text);
  const hasField = field === undefined ? undefined : fieldMatcher(field);
  return ({ body }) => {
    const buffer = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    return (bytes === undefined || buffer.includes(bytes)) && (hasField === undefined || hasField(buffer));
  };
}

/** @param field such as `order.id=42`; the value is compared as a text, and as JSON */
function fieldMatcher(field: string): (body: Buffer) => boolean {
  const at = field.indexOf("=");
  if (at < 1) throw new UsageError("--field must be PATH=VALUE, for example --field order.id=42");
  const path = field.slice(0, at).split(".");
  const wanted = field.slice(at + 1);
  return (body) => {
    const value = valueAt(body, path);
    return value !== undefined && (value === wanted || JSON.stringify(value) === wanted);
  };
}

function valueAt(body: Buffer, path: readonly string[]): unknown {
  try {
    return path.reduce<unknown>(
      (value, key) =>
        typeof value === "object" && value !== null && Object.hasOwn(value, key)
          ? (value as Record<string, unknown>)[key]
          : undefined,
      JSON.parse(body.toString()),
    );
  } catch {
    return undefined; // no JSON
  }
}
