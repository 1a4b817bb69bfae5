/** Metric families, built from counts that exist already. */

/** Labels and their values. */
export type Labels = Readonly<Record<string, string>>;

/** One value. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** The suffix of the family's name: `_bucket`, `_sum` or `_count` of a histogram. */
  readonly suffix?: string;
}

/** A metric with one value. */
export type MetricRow<From> = readonly [name: string, help: string, read: (from: From) => number];

/** All samples of one metric name. */
export interface Family {
  /** Without the prefix. */
  readonly name: string;
  /** One or two sentences, without quotes, backslashes and line breaks. */
  readonly help: string;
  readonly type: "gauge" | "counter" | "histogram";
  readonly samples: readonly Sample[];
}

/** A histogram. As in Prometheus, each bucket includes those before it. */
export function histogram(name: string, help: string, { bounds, counts, sum }: HistogramStats): Family {
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

/** A metric with one value. */
export function single<From>([name, help, read]: MetricRow<From>, from: From): Family {
  return { name, help, type: typeOf(name), samples: [{ labels: {}, value: read(from) }] };
}

/** A metric with a sample for each value of a label. */
export function byLabel(
  [name, help, label]: readonly [name: string, help: string, label: string],
  values: readonly (readonly [of: string, value: number])[],
): Family {
  const samples = values.map(([of, value]) => ({ labels: { [label]: of }, value }));
  return { name, help, type: typeOf(name), samples };
}

/** Source: https://prometheus.io/docs/practices/naming/. */
function typeOf(name: string): "counter" | "gauge" {
  return name.endsWith("_total") ? "counter" : "gauge";
}

/** The counts of a histogram. */
export interface HistogramStats {
  /** The upper bound of each bucket, included in it, ascending. */
  readonly bounds: readonly number[];
  /** The count of each bucket, without the buckets before it; the last is for values above all bounds. */
  readonly counts: readonly number[];
  /** The sum of all values. */
  readonly sum: number;
}

/** Counts values in fixed buckets: 0.03 us a value. */
export class Histogram implements HistogramStats {
  readonly bounds: readonly number[];
  readonly counts: number[];
  sum = 0;

  /** @param bounds ascending */
  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Array<number>(bounds.length + 1).fill(0);
  }

  /** Counts a value. @param weight how many equal values it represents */
  observe(value: number, weight: number = 1): void {
    let bucket = 0;
    while (bucket < this.bounds.length && value > this.bounds[bucket]!) bucket++;
    this.counts[bucket]! += weight;
    this.sum += value * weight;
  }
}
