/**
 * The publisher, for a service that runs one itself instead of the command.
 *
 * @module
 */
export type {
  CollectorDestinationConfig,
  CollectorVersion,
  DestinationConfig,
  FileDestinationConfig,
} from "../config/destination_config.ts";
export type {
  NatsConnectionConfig,
  NatsDestinationConfig,
  NatsLogin,
  NatsTls,
} from "../config/nats_config.ts";
export type {
  MetricsConfig,
  PublisherConfig,
  PublisherConfigOptions,
} from "../config/publisher_config.ts";
export { loadPublisherConfig } from "../config/publisher_config.ts";
export type { Delivery, Destination, LeasedBatch, StoredEvent } from "../destinations/destination.ts";
export type {
  Accepted,
  Misconfigured,
  Mixed,
  Outcome,
  Refused,
  RefusedEvent,
  Unavailable,
} from "../destinations/outcome.ts";
export type { HistogramFigures } from "../metrics/histogram.ts";
export type { PublisherFigures, RequestOutcome } from "../metrics/publisher_counts.ts";
export type { DeadLetter, DeadLetterSummary } from "../store/dead_letter_table.ts";
export type { QueueState } from "../store/event_table.ts";
export type { DeadLetterChoice, DeadLetterDesk, RetryResult } from "./dead_letter_desk.ts";
export type { PublishTracing } from "./publish_span.ts";
export { Publisher } from "./publisher.ts";
export type { PublisherOptions } from "./publisher_options.ts";
export type { Health, HealthReport, PublisherMetrics, PublisherProblem, PublisherStatus } from "./status.ts";
export { healthOf } from "./status.ts";
