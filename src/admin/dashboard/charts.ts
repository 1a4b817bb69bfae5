/**
 * The charts of the page.
 *
 * @module
 */
import { formatDuration } from "../../format.ts";
import { type DepthSample, HISTORY_EVERY_MS, HISTORY_SAMPLES, ratesBetween } from "./history.ts";
import { formatCount, formatRate, html, type Markup } from "./markup.ts";

/** The names of the charts: the ids of the elements they fill. */
export type ChartName = "depth-chart" | "oldest-chart" | "put-chart" | "delivered-chart";

type Drawn = Readonly<Record<ChartName, Markup>>;

/** Draws the charts, and only once for each sample: they are most of the work that the page makes. */
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

/** What a chart shows, and how it is told to those who do not see it. */
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

/** A longer gap than this between points is one where nothing is known, in milliseconds. */
const GAP_MS = 3 * HISTORY_EVERY_MS;

/** A line over the last 15 minutes, the newest point at the right, with its peak in words. */
export function sparkline(points: readonly Point[], options: SparklineOptions): Markup {
  const { label, format } = options;
  const peak = Math.max(0, ...points.map(({ value }) => value));
  const name = `${label} in the last 15 minutes: ${points.length > 1 ? `at most ${format(peak)}` : "not known yet"}`;
  const runs = runsOf(points).map((run) => toPath(run, points.at(-1)!.atMs, peak || 1));
  return html`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${name}">${runs.map(
    ({ line, area }) => html`<path class="area" d="${area}"/><path class="line" d="${line}"/>`,
  )}</svg><p class="peak">15-min peak ${points.length > 1 ? format(peak) : "-"}</p>`;
}

/** Runs of points without a gap; a point alone is no line. */
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
