/**
 * Metrics whose figures somebody else has counted.
 *
 * @module
 */
import type { HistogramFigures } from "./histogram.ts";

/** Labels and their values. */
export type Labels = Readonly<Record<string, string>>;

/** One figure. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** What stands behind the family's name: `_bucket`, `_sum` or `_count` of a histogram. */
  readonly suffix?: string;
}

/** A metric with one figure. */
export type Figure<From> = readonly [name: string, help: string, read: (from: From) => number];

/** All figures of one name. */
export interface Family {
  /** Without the prefix. */
  readonly name: string;
  /** One sentence or two, without quotes, backslashes and line breaks. */
  readonly help: string;
  readonly type: "gauge" | "counter" | "histogram";
  readonly samples: readonly Sample[];
}

/** A histogram: as Prometheus has it, each bucket counts what those before it do, too. */
export function histogram(name: string, help: string, { bounds, counts, sum }: HistogramFigures): Family {
  let count = 0;
  const buckets = counts.map((inBucket, index): Sample => {
    count += inBucket;
    return { suffix: "_bucket", labels: { le: String(bounds[index] ?? "+Inf") }, value: count };
  });
  const samples = [
    ...buckets,
    { suffix: "_sum", labels: {}, value: sum },
    { suffix: "_count", labels: {}, value: count },
  ];
  return { name, help, type: "histogram", samples };
}

/** A metric with one figure, read. */
export function single<From>(type: Family["type"], [name, help, read]: Figure<From>, from: From): Family {
  return { name, help, type, samples: [{ labels: {}, value: read(from) }] };
}

/** A figure for each value of a label. */
export function samplesBy(label: string, counts: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(counts).map(([key, value]) => ({ labels: { [label]: key } as Labels, value }));
}
