/**
 * An event collector, as a Hono app to mount.
 *
 * @module
 */

export type { HostPort, ListenAddress } from "../config/addresses.ts";
export {
  type CollectorConfig,
  type CollectorKeyConfig,
  type ListenerTls,
  loadCollectorConfig,
} from "../config/collector_config.ts";
export type { Env } from "../config/config_section.ts";
export type { NatsConnectionConfig, NatsLogin, NatsSinkConfig } from "../config/nats_config.ts";
export type { PostgresAddress, PostgresConfig, PostgresTls } from "../config/postgres_config.ts";
export { Secret } from "../config/secret.ts";
export type {
  FileSinkConfig,
  OutputConfig,
  SinkConfig,
  SqliteSinkConfig,
  SyncConfig,
} from "../config/sink_config.ts";
export { SubjectTemplate } from "../config/subject_template.ts";
export type { TlsFiles } from "../config/tls_files.ts";
export type { EventIds, IdRange } from "../wire/event_ids.ts";
export { type CollectorAdminOptions, collectorAdmin } from "./admin.ts";
export { type CollectorOptions, collector } from "./app.ts";
export type { CollectorKey, Keys } from "./signature.ts";
export type { FsyncPolicy, SyncOptions } from "./sinks/group_commit.ts";
export { JsonlSink, type JsonlSinkOptions } from "./sinks/jsonl.ts";
export { NatsSink } from "./sinks/nats.ts";
export { openSink } from "./sinks/open_sink.ts";
export { PostgresSink } from "./sinks/postgres.ts";
export type {
  AcceptedBatch,
  EventList,
  RequestVersion,
  Sink,
  Stored,
  UnkeptEvent,
} from "./sinks/sink.ts";
export { SqliteSink, type SqliteSinkOptions } from "./sinks/sqlite.ts";
export { type CollectorHealth, CollectorStatus } from "./status.ts";
export { type EventValidator, schemaValidator } from "./validate.ts";
