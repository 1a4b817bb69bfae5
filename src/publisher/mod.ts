/**
 * The publisher, for a service that runs one itself instead of the command.
 *
 * @module
 */

export type { Env } from "../config/config_section.ts";
export type { TlsFiles } from "../config/credentials.ts";
export { Secret } from "../config/credentials.ts";
export type {
  CollectorDestinationConfig,
  DestinationConfig,
  FileDestinationConfig,
} from "../config/destination_config.ts";
export type {
  BodyTemplate,
  HttpAuth,
  HttpDestinationConfig,
  HttpTransportConfig,
} from "../config/http_config.ts";
export type {
  NatsConnectionConfig,
  NatsDestinationConfig,
  NatsLogin,
} from "../config/nats_config.ts";
export type { HostPort, ListenAddress } from "../config/parsers.ts";
export type { PostgresAddress, PostgresConfig, PostgresTls } from "../config/postgres_config.ts";
export type {
  MetricsConfig,
  PublisherConfig,
  PublisherConfigOptions,
  QueueLocation,
} from "../config/publisher_config.ts";
export { loadPublisherConfig } from "../config/publisher_config.ts";
export { SubjectTemplate } from "../config/subject_template.ts";
export type { HistogramStats } from "../metrics/family.ts";
export type { DeadLetter, DeadLetterGroup, DeadLetterSummary } from "../storage/dead_letters.ts";
export type {
  BatchVersion,
  QueueState,
  RejectedPuts,
  RejectionReason,
  Retention,
} from "../storage/events.ts";
export type { DriverName } from "../storage/sqlite/sqlite.ts";
export type { LagLimit, SubscriptionStart, SubscriptionState } from "../storage/subscriptions.ts";
export type { PublisherStats, RequestOutcome } from "./counts.ts";
export type { DeadLetterSelection, DeadLetters, RetryResult } from "./dead_letters.ts";
export type {
  Accepted,
  Delivery,
  Destination,
  LeasedBatch,
  Misconfigured,
  Outcome,
  PartiallyAccepted,
  Rejected,
  RejectedEvent,
  StoredEvent,
  Unavailable,
} from "./destinations/destination.ts";
export type { Health, HealthReport, PublisherMetrics, PublisherProblem, PublisherStatus } from "./health.ts";
export { healthOf } from "./health.ts";
export type { DeliveredEvents, NewDeadLetter, PublisherHooks } from "./hooks.ts";
export type { PublisherOptions } from "./publisher.ts";
export { Publisher } from "./publisher.ts";
export type { PublishTracing } from "./tracing.ts";
export type { TransformContext, TransformOptions } from "./transform.ts";
