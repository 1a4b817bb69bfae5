/**
 * The charts of the page.
 *
 * @module
 */
import { formatDuration } from "../format.ts";
import { formatCount, formatRate } from "./figures.ts";
import { ratesBetween, type Sample } from "./history.ts";
import type { Markup } from "./markup.ts";
import { type Point, sparkline } from "./sparkline.ts";

/** The names of the charts: the ids of the elements they fill. */
export type ChartName = "depth-chart" | "oldest-chart" | "put-chart" | "delivered-chart";

type Drawn = Readonly<Record<ChartName, Markup>>;

/** Draws the charts, and only once for each sample: they are most of the work that the page makes. */
export class Charts {
  #newest: Sample | undefined;
  #drawn: Drawn | undefined;

  /** The charts of samples, the oldest first. */
  of(samples: readonly Sample[]): Drawn {
    const newest = samples.at(-1);
    if (this.#drawn === undefined || newest !== this.#newest) this.#drawn = draw(samples);
    this.#newest = newest;
    return this.#drawn;
  }
}

function draw(samples: readonly Sample[]): Drawn {
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

function pointOf(key: "depth" | "oldestAgeMs"): (sample: Sample) => Point {
  return (sample) => ({ atMs: sample.atMs, value: sample[key] });
}

function ratePoints(samples: readonly Sample[], key: "put" | "delivered"): Point[] {
  return samples
    .slice(1)
    .map((sample, index) => ({ atMs: sample.atMs, value: ratesBetween(samples[index]!, sample)[key] }));
}
