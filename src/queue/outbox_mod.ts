/**
 * The transactional outbox: events that commit together with the service's own rows, or not at all.
 *
 * It loads no SQLite library: it uses the connection that it is given.
 *
 * @example
 * ```ts
 * import { Database } from "bun:sqlite"; // or better-sqlite3, or DatabaseSync of node:sqlite
 * import { Outbox, serializeJsonEvent } from "eventspool/outbox";
 *
 * const outbox = new Outbox(db, serializeJsonEvent);
 * outbox.transaction(() => {
 *   insertOrder.run(42);
 *   outbox.put({ action: "buy", noun: "order", order: 42 });
 * });
 * ```
 *
 * @module
 */
export {
  ConfigurationError,
  EventError,
  EventQueueClosedError,
  EventQueueFullError,
  EventSerializationError,
  EventStorageError,
  EventTooLargeError,
  EventTransactionError,
} from "../errors.ts";
export { serializeJsonEvent } from "../serializers/json.ts";
export type { SqliteConnection, SqliteStatement } from "../storage/user_connection.ts";
export type { EventSerializer } from "./event_queue.ts";
export { Outbox, type OutboxOptions } from "./outbox.ts";
export type { PutTracing } from "./trace_context.ts";
