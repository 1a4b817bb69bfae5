/**
 * A small event collector, as a Hono app to mount.
 *
 * @module
 */
export type { BatchMeta, CollectorOptions } from "./collector.ts";
export { collector } from "./collector.ts";
export type { FsyncPolicy, SyncOptions } from "./commit_loop.ts";
export type { EventIds, IdRange } from "./event_ids.ts";
export { EventList } from "./event_list.ts";
export { type JsonLinesOptions, JsonLinesSink } from "./json_lines_sink.ts";
export type { AcceptedBatch, Sink, Stored } from "./sink.ts";
export { SqliteSink, type SqliteSinkOptions } from "./sqlite_sink.ts";
