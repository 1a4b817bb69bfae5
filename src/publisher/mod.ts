/**
 * The publisher, for a service that runs one itself instead of the command.
 *
 * @module
 */
export type {
  CollectorVersion,
  MetricsConfig,
  PublisherConfig,
  PublisherConfigOptions,
} from "../config/publisher_config.ts";
export { loadPublisherConfig } from "../config/publisher_config.ts";
export type { HistogramFigures } from "../metrics/histogram.ts";
export type { PublisherFigures, RequestOutcome } from "../metrics/publisher_counts.ts";
export type { QueueState } from "../store/event_table.ts";
export { Publisher } from "./publisher.ts";
export type { Health, HealthReport, PublisherMetrics, PublisherProblem, PublisherStatus } from "./status.ts";
export { healthOf } from "./status.ts";
