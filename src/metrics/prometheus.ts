/** Metrics in the text formats of Prometheus. */
import type { Context } from "hono";
import { accepts } from "hono/accepts";
import type { Metric, RegistryContentType } from "prom-client";
import { loadPackage } from "../load_package.ts";
import type { Family, Labels } from "./family.ts";

/** The prefix of every name. */
const PREFIX = "eventspool_";

/** The text formats, by media type. */
const METRIC_TYPES: Readonly<Record<string, RegistryContentType>> = {
  "text/plain": "text/plain; version=0.0.4; charset=utf-8",
  "application/openmetrics-text": "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/**
 * Responds with metrics: in the OpenMetrics format if it is accepted, else in Prometheus' own format.
 *
 * @param labels the labels of every sample
 */
export async function respondWithMetrics(
  c: Context,
  families: readonly Family[],
  labels: Labels,
): Promise<Response> {
  const supports = Object.keys(METRIC_TYPES);
  const type = METRIC_TYPES[accepts(c, { header: "Accept", supports, default: "text/plain" })]!;
  const { Registry } = await loadPackage("prom-client", () => import("prom-client")); // on the first request: a process starts 30 ms sooner
  const registry = new Registry<RegistryContentType>();
  registry.setContentType(type);
  registry.setDefaultLabels(labels);
  for (const family of families) registry.registerMetric(toMetric(family));
  return c.body(await registry.metrics(), 200, { "Content-Type": type });
}

/**
 * Prom-client's own metrics do the counting themselves, and a histogram cannot be set from existing counts. Its registry
 * only uses `name`, `type` and `get()` of a metric.
 */
function toMetric({ name, help, type, samples }: Family): Metric {
  const metric = {
    name: PREFIX + name,
    type,
    // For OpenMetrics the registry removes _total from the name, and appends it to the name of each sample.
    get: async () => ({
      name: metric.name,
      help,
      type,
      values: samples.map(({ labels, value, suffix }) => ({
        labels,
        value,
        ...(suffix !== undefined && { metricName: metric.name + suffix }),
      })),
    }),
  };
  return metric as unknown as Metric;
}
