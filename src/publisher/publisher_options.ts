/**
 * What a publisher may be given.
 *
 * @module
 */
import type { Destination } from "../destinations/destination.ts";
import type { PublishTracing } from "./publish_span.ts";

/** What a publisher is given besides its configuration. */
export interface PublisherOptions {
  /** Where events are taken. Default: as the configuration's `destination` says. It is closed with the publisher. */
  readonly destination?: Destination | undefined;
  /**
   * The package `@opentelemetry/api`, as in `import * as openTelemetry from "@opentelemetry/api"`. Then each request is a
   * span, `eventspool publish`, with links to the spans that put its events, if the queue had this option too:
   * 128 of them at most. Default: none.
   */
  readonly openTelemetry?: PublishTracing | undefined;
}
