/** The last 15 minutes of a publisher, in memory, and the charts of them. */
import { clearInterval, setInterval } from "node:timers";
import { formatDuration } from "../../format.ts";
import type { PublisherStatus } from "../../publisher/health.ts";
import { formatCount, formatRate, html, type Markup } from "./markup.ts";

/** How often the dashboard takes a sample for its charts, in milliseconds; it costs the publisher some 20 us. */
export const HISTORY_EVERY_MS = 5_000;

/** How many samples it keeps: 15 minutes, and the one that they begin with. */
export const HISTORY_SAMPLES = 181;

/** The figures of one moment; the differences of counts are rates. */
export interface DepthSample {
  /** When, by the monotonic clock, in milliseconds. */
  readonly atMs: number;
  readonly depth: number;
  /** The age of the oldest event, in milliseconds; 0 when there is none. */
  readonly oldestAgeMs: number;
  /** Events ever put. */
  readonly put: number;
  /** Events the collector has accepted from this publisher. */
  readonly delivered: number;
}

/** Events a second, between two moments. */
export interface Rates {
  readonly put: number;
  readonly delivered: number;
}

/** Current rates are counted over this time at least, in milliseconds: a batch makes no spike. */
const MIN_WINDOW_MS = 0.5 * HISTORY_EVERY_MS;

/** Keeps the newest {@link HISTORY_SAMPLES} samples, one every {@link HISTORY_EVERY_MS}; put pays nothing for it. */
export class History {
  readonly #samples: DepthSample[] = [];

  /** Samples until `signal` aborts. A queue file that cannot be read leaves a gap. */
  static of(read: () => PublisherStatus, signal: AbortSignal): History {
    const history = new History();
    const look = (): void => {
      try {
        history.add(toSample(read()));
      } catch {
        // The page and /health report it.
      }
    };
    if (signal.aborted) return history;
    look();
    const timer = setInterval(look, HISTORY_EVERY_MS);
    timer.unref(); // the publisher keeps the process alive, not its charts
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
    return history;
  }

  /** The samples, the oldest first. */
  get samples(): readonly DepthSample[] {
    return this.#samples;
  }

  /** Adds a sample, and drops the oldest where there are too many. */
  add(sample: DepthSample): void {
    this.#samples.push(sample);
    if (this.#samples.length > HISTORY_SAMPLES) this.#samples.shift();
  }

  /** Rates up to now, over the last few seconds; undefined while nothing is known yet. */
  ratesUntil(now: DepthSample): Rates | undefined {
    const from = this.#samples.findLast(({ atMs }) => now.atMs - atMs >= MIN_WINDOW_MS);
    return from && ratesBetween(from, now);
  }
}

/** The figures of a status. @param atMs when it was read, by the monotonic clock, in milliseconds */
export function toSample(
  { state, delivered }: PublisherStatus,
  atMs: number = performance.now(),
): DepthSample {
  const { newestId, depth, oldestPutAtMs } = state;
  const oldestAgeMs = oldestPutAtMs === undefined ? 0 : Math.max(0, Date.now() - oldestPutAtMs);
  return { atMs, depth, oldestAgeMs, put: newestId, delivered };
}

/** Rates between two samples, never negative. */
export function ratesBetween(from: DepthSample, to: DepthSample): Rates {
  const seconds = (to.atMs - from.atMs) / 1_000;
  const rate = (before: number, after: number): number =>
    seconds > 0 ? Math.max(0, after - before) / seconds : 0;
  return { put: rate(from.put, to.put), delivered: rate(from.delivered, to.delivered) };
}

/** The names of the charts: the ids of the elements they fill. */
export type ChartName = "depth-chart" | "oldest-chart" | "put-chart" | "delivered-chart";

type Drawn = Readonly<Record<ChartName, Markup>>;

/** Draws the charts, once for each sample: they are most of the page's work. */
export class Charts {
  #newest: DepthSample | undefined;
  #drawn: Drawn | undefined;

  /** The charts of samples, the oldest first. */
  of(samples: readonly DepthSample[]): Drawn {
    const newest = samples.at(-1);
    if (this.#drawn === undefined || newest !== this.#newest) this.#drawn = draw(samples);
    this.#newest = newest;
    return this.#drawn;
  }
}

function draw(samples: readonly DepthSample[]): Drawn {
  const depth = { label: "Depth", format: formatCount };
  const oldest = { label: "Age of the oldest event", format: formatDuration };
  const put = { label: "Events put a second", format: formatRate };
  const delivered = { label: "Events delivered a second", format: formatRate };
  return {
    "depth-chart": sparkline(samples.map(pointOf("depth")), depth),
    "oldest-chart": sparkline(samples.map(pointOf("oldestAgeMs")), oldest),
    "put-chart": sparkline(ratePoints(samples, "put"), put),
    "delivered-chart": sparkline(ratePoints(samples, "delivered"), delivered),
  };
}

function pointOf(key: "depth" | "oldestAgeMs"): (sample: DepthSample) => Point {
  return (sample) => ({ atMs: sample.atMs, value: sample[key] });
}

function ratePoints(samples: readonly DepthSample[], key: "put" | "delivered"): Point[] {
  return samples
    .slice(1)
    .map((sample, index) => ({ atMs: sample.atMs, value: ratesBetween(samples[index]!, sample)[key] }));
}

/** A value at a time, in milliseconds. */
export interface Point {
  readonly atMs: number;
  readonly value: number;
}

/** What a chart shows, and how screen readers read it. */
export interface SparklineOptions {
  /** What it is a chart of, such as `Depth`. */
  readonly label: string;
  readonly format: (value: number) => string;
}

const WIDTH = 300;
const HEIGHT = 56;

/** Room above and below, so that a line at the edge is seen whole. */
const MARGIN = 3;

const SPAN_MS = (HISTORY_SAMPLES - 1) * HISTORY_EVERY_MS;

/** In a longer gap between points nothing is known, in milliseconds. */
const GAP_MS = 3 * HISTORY_EVERY_MS;

/** A line over the last 15 minutes, the newest point at the right, with its peak in words. */
export function sparkline(points: readonly Point[], options: SparklineOptions): Markup {
  const { label, format } = options;
  const peak = Math.max(0, ...points.map(({ value }) => value));
  const isKnown = points.length > 0;
  const name = `${label} in the last 15 minutes: ${isKnown ? `at most ${format(peak)}` : "not known yet"}`;
  const runs = runsOf(points).map((run) => toPath(run, points.at(-1)!.atMs, peak || 1));
  return html`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${name}">${runs.map(
    ({ line, area }) => html`<path class="area" d="${area}"/><path class="line" d="${line}"/>`,
  )}</svg>${isKnown && html`<p class="peak">15-min peak ${format(peak)}</p>`}`;
}

/** Runs of points without a gap; a single point is no line. */
function runsOf(points: readonly Point[]): Point[][] {
  const runs: Point[][] = [];
  for (const point of points) {
    const run = runs.at(-1);
    if (run !== undefined && point.atMs - run.at(-1)!.atMs <= GAP_MS) run.push(point);
    else runs.push([point]);
  }
  return runs.filter(({ length }) => length > 1);
}

function toPath(run: readonly Point[], endMs: number, peak: number): { line: string; area: string } {
  const x = (atMs: number): string => (WIDTH * (1 - (endMs - atMs) / SPAN_MS)).toFixed(1);
  const y = (value: number): string => (HEIGHT - MARGIN - (value / peak) * (HEIGHT - 2 * MARGIN)).toFixed(1);
  const line = `M${run.map(({ atMs, value }) => `${x(atMs)} ${y(value)}`).join("L")}`;
  return { line, area: `${line}L${x(run.at(-1)!.atMs)} ${HEIGHT}L${x(run[0]!.atMs)} ${HEIGHT}Z` };
}
