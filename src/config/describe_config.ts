/**
 * The output of `--check`, and whether a reload changes a configuration.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { DEFAULT_MAX_EVENTS } from "../storage/events.ts";
import type { CollectorConfig } from "./collector_config.ts";
import { Secret } from "./credentials.ts";
import type { DestinationConfig } from "./destination_config.ts";
import type { HttpTransportConfig } from "./http_config.ts";
import type { NatsDestinationConfig, NatsSinkConfig } from "./nats_config.ts";
import { formatAddress } from "./parsers.ts";
import type { PostgresConfig } from "./postgres_config.ts";
import type { PublisherConfig } from "./publisher_config.ts";
import type { SinkConfig } from "./sink_config.ts";

/** A collector's configuration for `--check`: without secrets, units last, `null` for absent values. */
export function describeCollectorConfig(config: CollectorConfig): Record<string, unknown> {
  const { admin } = config;
  return {
    listen: formatAddress(config.listen),
    keys: [...config.keys.keys()],
    sink: config.sink.kind,
    ...describeSinkConfig(config.sink),
    max_body_size_bytes: config.maxBodyBytes,
    max_events_per_request: config.maxEvents,
    max_pending_size_bytes: config.maxPendingBytes,
    max_requests: config.maxRequests,
    request_timeout_ms: config.requestTimeoutMs,
    grace_ms: config.graceMs,
    v1: config.v1,
    check_structs: config.checkStructs,
    admin_token: admin.token !== undefined,
    admin_listen: typeof admin.listen === "object" ? formatAddress(admin.listen) : (admin.listen ?? "off"),
    warnings: config.warnings,
  };
}

function describeSinkConfig(sink: SinkConfig): Record<string, unknown> {
  if (sink.kind === "nats") return describeNats(sink);
  if (sink.kind === "postgres") return describePostgres(sink);
  const { kind: _, path, fsync, fsyncIntervalMs, ...rotation } = sink;
  return {
    output: path,
    output_fsync: fsync,
    output_fsync_interval_ms: fsyncIntervalMs,
    ...("rotateAgeMs" in rotation && {
      output_rotate_size_bytes: rotation.rotateSizeBytes ?? null,
      output_rotate_age_ms: rotation.rotateAgeMs ?? null,
    }),
  };
}

/** A publisher's configuration for `--check`: without the secret, units last, `null` for absent values. */
export function describePublisherConfig(config: PublisherConfig): Record<string, unknown> {
  const { destination, batch, deadLetters, admin, metrics } = config;
  return {
    queue: config.queueName,
    directory: config.directory ?? null,
    queue_ballast_bytes: config.ballastBytes,
    queue_file_mode: config.fileMode.toString(8).padStart(4, "0"),
    queue_allow_network_file_system: config.allowNetworkFileSystem,
    max_queue_size: config.maxQueueSize ?? DEFAULT_MAX_EVENTS,
    destination: destination.kind,
    ...describeDestination(destination),
    batch_max_age_ms: batch.maxAgeMs,
    batch_min_interval_ms: batch.minIntervalMs,
    batch_gzip_level: batch.gzipLevel,
    batch_max_events: batch.maxEvents ?? null,
    batch_max_bytes: batch.maxBytes,
    queue_retention_ms: config.retention?.maxAgeMs ?? null,
    queue_retention_bytes: config.retention?.maxBytes ?? null,
    publisher_subscription: config.subscription.name,
    dead_letters_max_count: deadLetters.maxCount,
    dead_letters_max_bytes: deadLetters.maxBytes,
    dead_letters_max_share: deadLetters.maxShare,
    publisher_concurrency: config.concurrency,
    publisher_drop_fields: config.dropFields,
    publisher_grace_ms: config.graceMs,
    admin_token: admin.token !== undefined,
    admin_listen: admin.listen === undefined ? "off" : formatAddress(admin.listen),
    metrics: {
      namespace: metrics.namespace,
      endpoint: metrics.endpoint === undefined ? null : formatAddress(metrics.endpoint),
      log_if_unconfigured: metrics.logIfUnconfigured,
      swallow_network_errors: metrics.swallowNetworkErrors,
    },
    warnings: config.warnings,
  };
}

function describeDestination(destination: DestinationConfig): Record<string, unknown> {
  switch (destination.kind) {
    case "collector":
      return {
        url: destination.url,
        ...describeTransport("collector", destination),
        key_name: destination.key.name,
      };
    case "http":
      return {
        url: destination.url.replace(/\?.*/s, "?[redacted]"),
        ...describeTransport("http", destination),
        http_headers: Object.keys(destination.headers),
        http_body: destination.bodyKind,
        http_auth: destination.auth.kind,
        http_compression: destination.compression,
        http_response: destination.response,
        http_accepted_statuses: destination.acceptedStatuses ?? null,
        http_rejected_statuses: destination.rejectedStatuses,
      };
    case "nats":
      return {
        ...describeNats(destination),
        nats_messages: destination.messages,
      };
    case "postgres":
      return describePostgres(destination);
    case "file":
      return { file_path: destination.path };
  }
}

function describeTransport(
  kind: string,
  { timeoutMs, proxy, tls }: HttpTransportConfig,
): Record<string, unknown> {
  return {
    [`${kind}_timeout_ms`]: timeoutMs,
    [`${kind}_proxy`]: describeProxy(proxy),
    [`${kind}_tls_ca_file`]: tls?.caFile ?? null,
    [`${kind}_tls_cert_file`]: tls?.certFile ?? null,
    [`${kind}_tls_key_file`]: tls?.keyFile ?? null,
  };
}

/** Without its user and password. */
function describeProxy(proxy: HttpTransportConfig["proxy"]): string | null {
  if (!(proxy instanceof Secret)) return proxy ?? null;
  const { protocol, host } = new URL(Buffer.from(proxy.reveal()).toString());
  return `${protocol}//${host}`;
}

function describeNats(nats: NatsDestinationConfig | NatsSinkConfig): Record<string, unknown> {
  return {
    nats_servers: nats.servers,
    nats_login: nats.login === undefined ? "none" : Object.keys(nats.login)[0],
    nats_tls: nats.tls !== undefined,
    nats_stream: nats.stream ?? null,
    nats_subject: nats.subject.text,
    nats_timeout_ms: nats.timeoutMs,
  };
}

function describePostgres({
  address,
  tls,
  table,
  partition,
  timeoutMs,
}: PostgresConfig): Record<string, unknown> {
  return {
    postgres_host: address.host,
    postgres_port: address.port,
    postgres_database: address.database,
    postgres_user: address.user,
    postgres_tls: tls === undefined ? (address.sslMode ?? "disable") : "verify-full",
    postgres_table: table,
    postgres_partition: partition,
    postgres_timeout_ms: timeoutMs,
  };
}

/**
 * Equal for equal configurations, including secrets and the current contents of certificate files. It is a hash, so that
 * no text with the secrets stays in memory.
 */
export function fingerprintOf(config: object): string {
  const text = JSON.stringify(config, function (this: Record<string, unknown>, key, value: unknown) {
    const raw = this[key]; // before toJSON
    if (raw instanceof Secret) return Buffer.from(raw.reveal()).toString("base64");
    return NAMES_A_FILE.test(key) && typeof value === "string" ? [value, contentsOf(value)] : value;
  });
  return createHash("sha256").update(text).digest("hex");
}

/** Keys such as `caFile`: certificates and credentials, which are read for each connection. */
const NAMES_A_FILE = /[a-z]File$/;

function contentsOf(path: string): string | undefined {
  try {
    return readFileSync(path, "base64");
  } catch {
    return undefined; // the connection fails with the reason
  }
}
