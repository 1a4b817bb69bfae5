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
export type { DeadLetter, DeadLetterSummary } from "../store/dead_letter_table.ts";
export type { QueueState } from "../store/event_table.ts";
export type { DeadLetterChoice, DeadLetterDesk, RetryResult } from "./dead_letter_desk.ts";
export { Publisher } from "./publisher.ts";
export type { Health, HealthReport, PublisherProblem, PublisherStatus } from "./status.ts";
export { healthOf } from "./status.ts";
