/**
 * The publisher's figures in the text formats of Prometheus.
 *
 * @module
 */
import type { Metric, RegistryContentType } from "prom-client";
import type { PublisherMetrics, QueueState } from "../publisher/mod.ts";
import type { Family } from "./family.ts";
import { fileFamilies, publisherFamilies } from "./metric_families.ts";

/** What every name begins with. */
const PREFIX = "eventspool_";

/** The text formats there are, by their media types. */
export const METRIC_TYPES: Readonly<
  Record<"text/plain" | "application/openmetrics-text", RegistryContentType>
> = {
  "text/plain": "text/plain; version=0.0.4; charset=utf-8",
  "application/openmetrics-text": "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/**
 * All metrics, labelled with the queue's name.
 *
 * @param state undefined when the queue's file cannot be read: then only what the publisher itself knows is told
 * @param type the content type, one of {@link METRIC_TYPES}
 */
export async function prometheusText(
  metrics: PublisherMetrics,
  state: QueueState | undefined,
  type: RegistryContentType = METRIC_TYPES["text/plain"],
): Promise<string> {
  const { Registry } = await import("prom-client"); // with the first look: a publisher starts 30 ms sooner
  const registry = new Registry<RegistryContentType>();
  registry.setContentType(type);
  registry.setDefaultLabels({ queue: metrics.queue });
  const families = [...(state ? fileFamilies(state) : []), ...publisherFamilies(metrics)];
  for (const family of families) registry.registerMetric(toMetric(family));
  return registry.metrics();
}

/**
 * Prom-client's own metrics count by themselves, and cannot be given what a histogram has counted. All that its
 * registry asks of one is `name`, `type` and `get()`, so that this is enough.
 */
function toMetric({ name, help, type, samples }: Family): Metric {
  const metric = {
    name: PREFIX + name,
    type,
    // For OpenMetrics the registry takes the _total off the name, and puts it back behind each figure's.
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
