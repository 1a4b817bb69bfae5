/**
 * An event collector, as a Hono app to mount.
 *
 * @module
 */
export { type CollectorAdminOptions, collectorAdmin } from "./admin.ts";
export { type CollectorOptions, collector } from "./collector.ts";
export type { FsyncPolicy, SyncOptions } from "./commit_loop.ts";
export type { EventIds, IdRange } from "./event_ids.ts";
export type { EventList } from "./event_list.ts";
export type { BatchVersion } from "./events.ts";
export { type JsonLinesOptions, JsonLinesSink } from "./json_lines_sink.ts";
export type { Keys } from "./signature.ts";
export type { AcceptedBatch, Sink, Stored } from "./sink.ts";
export { SqliteSink, type SqliteSinkOptions } from "./sqlite_sink.ts";
export { CollectorStatus } from "./status.ts";
export { type EventValidator, schemaValidator } from "./validate.ts";
