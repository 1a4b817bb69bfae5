import { setTimeout as sleep } from "node:timers/promises";
import { integerIn } from "../../config/parsers.ts";
import { decodeBody, eventJson, formatDuration, formatSize, isoTime, oneLine } from "../../format.ts";
import { type EventRow, EventTable } from "../../storage/events.ts";
import { LeaseTable } from "../../storage/leases.ts";
import {
  type Call,
  OF_SUBSCRIPTION,
  type Options,
  openToRead,
  readOption,
  subscriptionOf,
  type Verb,
} from "./verb.ts";

const parseCount = integerIn({ min: 0, max: 1_000_000 });

/** How many events are read at once. */
const PAGE_EVENTS = 100;

/** How often `tail` looks for new events, in milliseconds: a look costs 10 us. */
const TAIL_EVERY_MS = 100;

function optionsWith(help: string): Options {
  return {
    number: { type: "string", short: "n", value: "COUNT", default: "10", help: `${help} (default: 10)` },
    ...OF_SUBSCRIPTION,
  };
}

/** What `--json` prints of an event. */
export const EVENT_JSON_HELP =
  'one document per line: id, put_at, size_bytes, state ("waiting", "claimed" by a publisher, or "delivered") and event, as it was put, or event_base64 if it is not JSON.';

/** `eventspool peek` */
export const peek: Verb = {
  summary: "show the oldest events without claiming them",
  options: {
    delivered: { type: "boolean", help: "show the newest delivered events that are retained instead" },
    ...optionsWith("how many"),
  },
  json: EVENT_JSON_HELP,
  examples: ["", "-n 100 --json", "--delivered"],
  run(call: Call): number {
    using file = openToRead(call);
    const events = new EventTable(file);
    const leases = new LeaseTable(file, 0, subscriptionOf(call));
    const printer = new EventPrinter(call);
    let left = readOption(call, "number", parseCount)!;
    if (call.values.delivered) {
      const newest = events.readDelivered({ limit: left, ...subscriptionOf(call) });
      printer.print(newest.reverse(), leases);
      left = 0;
    }
    let fromId = 1;
    while (left > 0) {
      const limit = Math.min(left, PAGE_EVENTS);
      const page = events.readWaiting({ fromId, limit, ...subscriptionOf(call) });
      if (page.length === 0) break;
      printer.print(page, leases);
      left -= page.length;
      fromId = page.at(-1)!.id + 1;
    }
    return 0;
  },
};

/** `eventspool tail` */
export const tail: Verb = {
  summary: "follow events as they are put, until interrupted",
  options: optionsWith("how many of the newest events to show first"),
  details: "It looks ten times a second: an event that is put and delivered in between is not shown.",
  json: EVENT_JSON_HELP,
  examples: ["", "-n 0 --json"],
  async run(call: Call): Promise<number> {
    const count = readOption(call, "number", parseCount)!;
    using file = openToRead(call);
    const events = new EventTable(file);
    const leases = new LeaseTable(file, 0, subscriptionOf(call));
    const printer = new EventPrinter(call);
    let fromId = Math.max(1, events.counters().newestId - count + 1);
    while (!call.stop.aborted) {
      const page = events.read({ fromId, limit: PAGE_EVENTS });
      printer.print(page, leases);
      fromId = (page.at(-1)?.id ?? fromId - 1) + 1;
      if (page.length < PAGE_EVENTS)
        await sleep(TAIL_EVERY_MS, undefined, { signal: call.stop }).catch(() => {}); // interrupted
    }
    return 0;
  },
};

const HEADER = ["ID", "AGE", "SIZE", "STATE", "EVENT"];

/** Prints events one below the other. Columns grow as wider cells come, and never shrink, so that pages are aligned. */
export class EventPrinter {
  readonly #call: Call;
  readonly #widths = [4, 7, 9, 7];
  #hasHeader = false;

  constructor(call: Call) {
    this.#call = call;
  }

  /** An event that was claimed is being sent, or was released after a failure. */
  print(page: readonly EventRow[], leases: LeaseTable): void {
    const { values, output } = this.#call;
    const [claimedId, claims] = [leases.claimedId(), leases.all()];
    const stateOf = (id: number): string => {
      if (id > claimedId) return "waiting";
      const isClaimed = claims.some(({ firstId, lastId }) => firstId <= id && id <= lastId);
      return isClaimed ? "claimed" : "delivered";
    };
    if (values.json) {
      for (const { id, putAtMs, body } of page) {
        const fields = { id, put_at: isoTime(putAtMs), size_bytes: body.length, state: stateOf(id) };
        output.line(eventJson(fields, body));
      }
      return;
    }
    const rows = page.map(({ id, putAtMs, body }) => {
      const { json, text } = decodeBody(body);
      const age = formatDuration(Date.now() - putAtMs);
      return [String(id), age, formatSize(body.length), stateOf(id), oneLine(json ?? text)];
    });
    for (const [column, width] of this.#widths.entries())
      this.#widths[column] = Math.max(width, ...rows.map((row) => row[column]!.length));
    if (rows.length > 0 && !this.#hasHeader) output.line(this.#aligned(HEADER), "bold");
    this.#hasHeader ||= rows.length > 0;
    for (const row of rows) output.line(this.#aligned(row), row[3] === "waiting" ? undefined : "dim");
  }

  #aligned([id, age, size, state, event]: readonly string[]): string {
    const [idWidth, ageWidth, sizeWidth, stateWidth] = this.#widths as [number, number, number, number];
    const numbers = [id!.padStart(idWidth), age!.padStart(ageWidth), size!.padStart(sizeWidth)];
    return [...numbers, state!.padEnd(stateWidth), event].join("  ");
  }
}
