import { setTimeout as sleep } from "node:timers/promises";
import { durationMsIn } from "../../config/parsers.ts";
import { formatDuration, formatTable } from "../../format.ts";
import { depthJson, EventTable, type QueueState } from "../../storage/events.ts";
import { type Call, openToRead, type Verb } from "./verb.ts";

/** The counters at one moment: their differences are rates. */
interface DepthReading {
  readonly atMs: number;
  /** Events ever put. */
  readonly put: number;
  /** Events that ever left: delivered, dead or purged. */
  readonly left: number;
}

/** Events a second. */
interface Rates {
  readonly put: number;
  readonly left: number;
}

const parseInterval = durationMsIn({ min: 50, max: 3_600_000 });

/** Wide enough for a row to stand below the one before. */
const COLUMN_CHARS = 8;

/** `queue depth` */
export const depth: Verb = {
  summary: "how many events wait, and how old the oldest is",
  usage: "[--watch] [--interval 1s]",
  help: `  --watch           go on until interrupted, with events put and gone a second
  --interval TIME   how often (default: 1s)
`,
  options: { watch: { type: "boolean" }, interval: { type: "string", default: "1s" } },
  async run(call: Call): Promise<number> {
    const { values, output, stop, queue } = call;
    const intervalMs = parseInterval(String(values.interval));
    const file = openToRead(call);
    const events = new EventTable(file);
    const isWatched = values.watch === true;
    let last: DepthReading | undefined;
    while (!stop.aborted) {
      const now = sample(events);
      const rates = last && ratesBetween(last, now);
      const state = events.state();
      if (values.json) output.line(JSON.stringify(toJson(queue, state, rates)));
      else for (const line of toLines(state, rates, isWatched).slice(last ? 1 : 0)) output.line(line);
      if (!isWatched) break;
      last = now;
      await sleep(intervalMs, undefined, { signal: stop }).catch(() => {}); // interrupted: that is all
    }
    file.close();
    return 0;
  },
};

function sample(events: EventTable): DepthReading {
  const { newestId, depth: waiting } = events.counters();
  return { atMs: performance.now(), put: newestId, left: newestId - waiting };
}

function ratesBetween(last: DepthReading, now: DepthReading): Rates {
  const seconds = (now.atMs - last.atMs) / 1_000;
  const rate = (from: number, to: number): number => Math.round((to - from) / seconds);
  return { put: rate(last.put, now.put), left: rate(last.left, now.left) };
}

function toLines(state: QueueState, rates: Rates | undefined, isWatched: boolean): string[] {
  const rejected = Object.values(state.rejectedPuts).reduce((sum, count) => sum + count, 0);
  const oldest = state.oldestPutAtMs === undefined ? "-" : formatDuration(Date.now() - state.oldestPutAtMs);
  const header = ["DEPTH", "CAP", "LEASED", "DEAD", "REJECTED", "OLDEST"];
  const row = [state.depth, state.maxEvents, state.leased, state.deadLetters, rejected, oldest].map(String);
  if (isWatched) {
    header.push("PUT/S", "GONE/S");
    row.push(String(rates?.put ?? "-"), String(rates?.left ?? "-"));
  }
  const wide = (cells: string[]): string[] => cells.map((cell) => cell.padStart(COLUMN_CHARS));
  return formatTable(wide(header), [wide(row)]);
}

function toJson(queue: string, state: QueueState, rates: Rates | undefined): object {
  const perSecond = rates && { put_per_second: rates.put, gone_per_second: rates.left };
  return { ...depthJson(queue, state), ...perSecond };
}
