/**
 * eventspool: a durable event queue for services, on SQLite.
 *
 * @example
 * ```ts
 * import { EventQueue, serializeJsonEvent } from "eventspool";
 *
 * using events = new EventQueue("main", serializeJsonEvent);
 * events.put({ action: "view", noun: "page" }); // committed when it returns
 * ```
 *
 * @module
 */
export type { ConfigurationLocation, EventIssue } from "./errors.ts";
export {
  ConfigurationError,
  EventError,
  EventInvalidError,
  EventQueueClosedError,
  EventQueueFullError,
  EventSerializationError,
  EventStorageError,
  EventTooLargeError,
  EventTransactionError,
} from "./errors.ts";
export type {
  BatchVersion,
  DriverName,
  EventQueueOptions,
  EventSchemaOption,
  EventSerializer,
} from "./queue/event_queue.ts";
export { EventQueue } from "./queue/event_queue.ts";
export type { OnRejected } from "./queue/rejected_puts.ts";
export type { EventBatch, SubscribedEvent, SubscribeOptions } from "./queue/subscription.ts";
export type { PutTracing } from "./queue/trace_context.ts";
export { serializeJsonEvent } from "./serializers/json.ts";
export { DEFAULT_MAX_EVENTS } from "./storage/events.ts";
export type { LagLimit, SubscriptionStart } from "./storage/subscriptions.ts";
export { MAX_EVENT_BYTES } from "./wire/batch_format.ts";
