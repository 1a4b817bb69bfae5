/**
 * An event collector, as a Hono app to mount.
 *
 * @module
 */
import type { CollectorConfig } from "../config/collector_config.ts";
import type { Env } from "../config/config_section.ts";

export type { CollectorConfig, CollectorKeyConfig, ListenerTls } from "../config/collector_config.ts";
export type { Env } from "../config/config_section.ts";
export type { TlsFiles } from "../config/credentials.ts";
export { Secret } from "../config/credentials.ts";
export type { NatsConnectionConfig, NatsLogin, NatsSinkConfig } from "../config/nats_config.ts";
export type { HostPort, ListenAddress } from "../config/parsers.ts";
export type { PostgresAddress, PostgresConfig, PostgresTls } from "../config/postgres_config.ts";
export type {
  FileSinkConfig,
  OutputConfig,
  SinkConfig,
  SqliteSinkConfig,
  SyncConfig,
} from "../config/sink_config.ts";
export { SubjectTemplate } from "../config/subject_template.ts";
export type { EventIds, IdRange } from "../wire/event_ids.ts";
export type { Rejection } from "../wire/rejections.ts";
export { type CollectorAdminOptions, collectorAdmin } from "./admin.ts";
export { type CollectorOptions, collector } from "./app.ts";
export { type EventValidator, schemaValidator } from "./batch_parser.ts";
export type { CollectorKey, Keys } from "./signature.ts";
export type { FsyncPolicy, GroupCommitSink, SyncOptions } from "./sinks/group_commit.ts";
export { JsonlSink, type JsonlSinkOptions } from "./sinks/jsonl.ts";
export { NatsSink } from "./sinks/nats.ts";
export { openSink } from "./sinks/open_sink.ts";
export { PostgresSink } from "./sinks/postgres.ts";
export type {
  AcceptedBatch,
  EventList,
  RequestVersion,
  Sink,
  StoreResult,
} from "./sinks/sink.ts";
export { SqliteSink, type SqliteSinkOptions } from "./sinks/sqlite.ts";
export { type CollectorHealth, CollectorStatus } from "./status.ts";

/**
 * Reads a collector's configuration from a file: TOML if its name ends in `.toml`, otherwise INI.
 *
 * @throws {ConfigurationError} (rejects) it names the file, section, key and line where they are known, and never
 * shows a secret
 */
export async function loadCollectorConfig(
  path: string,
  options: { readonly env?: Env } = {},
): Promise<CollectorConfig> {
  const { loadCollectorConfig: load } = await import("../config/collector_config.ts"); // apps without a file need none of it
  return load(path, options);
}
