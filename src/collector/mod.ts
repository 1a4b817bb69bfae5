/**
 * An event collector, as a Hono app to mount.
 *
 * @module
 */

export type { EventIds, IdRange } from "../wire/event_ids.ts";
export { type CollectorAdminOptions, collectorAdmin } from "./admin.ts";
export { type CollectorOptions, collector } from "./app.ts";
export type { CollectorKey, Keys } from "./signature.ts";
export type { FsyncPolicy, SyncOptions } from "./sinks/group_commit.ts";
export { JsonlSink, type JsonlSinkOptions } from "./sinks/jsonl.ts";
export type { AcceptedBatch, EventList, RequestVersion, Sink, Stored } from "./sinks/sink.ts";
export { SqliteSink, type SqliteSinkOptions } from "./sinks/sqlite.ts";
export { CollectorStatus } from "./status.ts";
export { type EventValidator, schemaValidator } from "./validate.ts";
