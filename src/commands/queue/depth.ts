import { setTimeout as sleep } from "node:timers/promises";
import { durationMsIn } from "../../config/parsers.ts";
import { formatDuration, formatTable } from "../../format.ts";
import { depthJson, EventTable, type QueueState } from "../../storage/events.ts";
import { type Call, JSON_OUTPUT, openToRead, QUEUE_OR_OUTBOX, readOption, type Verb } from "./verb.ts";

/** The counters at one moment: their differences are rates. */
interface DepthReading {
  readonly atMs: number;
  /** Events ever put. */
  readonly put: number;
  /** Events ever removed: delivered, dead or purged. */
  readonly removed: number;
}

/** Events a second. */
interface Rates {
  readonly put: number;
  readonly removed: number;
}

const parseInterval = durationMsIn({ min: 50, max: 3_600_000 });

/** Wide enough for rows that are printed one after the other to be aligned. */
const COLUMN_CHARS = 8;

/** `eventspool depth` */
export const depth: Verb = {
  summary: "show how many events wait, and how old the oldest is",
  options: {
    ...QUEUE_OR_OUTBOX,
    watch: { type: "boolean", help: "repeat until interrupted, with events put and removed per second" },
    interval: { type: "string", value: "TIME", default: "1s", help: "how often (default: 1s)" },
    ...JSON_OUTPUT,
  },
  json: "one document per line: queue, depth, max_events, leased, dead_letters, dead_letter_bytes, dropped_dead_letters, rejected_puts by reason and oldest_event_age_seconds (null: no event); with --watch, from the second document on, also put_per_second and removed_per_second.",
  examples: ["", "--watch --interval 5s"],
  async run(call: Call): Promise<number> {
    const { values, output, stop, queue } = call;
    const intervalMs = readOption(call, "interval", parseInterval)!;
    using file = openToRead(call);
    const events = new EventTable(file);
    const isWatched = values.watch === true;
    let last: DepthReading | undefined;
    while (!stop.aborted) {
      const now = sample(events);
      const rates = last && ratesBetween(last, now);
      const state = events.state();
      if (values.json) output.line(JSON.stringify(toJson(queue, state, rates)));
      else show(toLines(state, rates, isWatched), { output, withHeader: last === undefined });
      if (!isWatched) break;
      last = now;
      await sleep(intervalMs, undefined, { signal: stop }).catch(() => {}); // interrupted
    }
    return 0;
  },
};

function show(
  [header, row]: readonly string[],
  { output, withHeader }: { output: Call["output"]; withHeader: boolean },
): void {
  if (withHeader) output.line(header!, "bold");
  output.line(row!);
}

function sample(events: EventTable): DepthReading {
  const { newestId, depth: waiting } = events.counters();
  return { atMs: performance.now(), put: newestId, removed: newestId - waiting };
}

function ratesBetween(last: DepthReading, now: DepthReading): Rates {
  const seconds = (now.atMs - last.atMs) / 1_000;
  const rate = (from: number, to: number): number => Math.round((to - from) / seconds);
  return { put: rate(last.put, now.put), removed: rate(last.removed, now.removed) };
}

function toLines(state: QueueState, rates: Rates | undefined, isWatched: boolean): string[] {
  const rejected = Object.values(state.rejectedPuts).reduce((sum, count) => sum + count, 0);
  const oldest = state.oldestPutAtMs === undefined ? "-" : formatDuration(Date.now() - state.oldestPutAtMs);
  const header = ["DEPTH", "CAP", "LEASED", "DEAD", "REJECTED", "OLDEST"];
  const row = [state.depth, state.maxEvents, state.leased, state.deadLetters, rejected, oldest].map(String);
  if (isWatched) {
    header.push("PUT/S", "REMOVED/S");
    row.push(String(rates?.put ?? "-"), String(rates?.removed ?? "-"));
  }
  const wide = (cells: string[]): string[] => cells.map((cell) => cell.padStart(COLUMN_CHARS));
  return formatTable(wide(header), [wide(row)]);
}

function toJson(queue: string, state: QueueState, rates: Rates | undefined): object {
  const perSecond = rates && { put_per_second: rates.put, removed_per_second: rates.removed };
  return { ...depthJson(queue, state), ...perSecond };
}
