/**
 * What `--check` says of a publisher's configuration.
 *
 * @module
 */
import { DEFAULT_MAX_EVENTS } from "../limits.ts";
import { formatAddress } from "./addresses.ts";
import type { DestinationConfig } from "./destination_config.ts";
import type { PublisherConfig } from "./publisher_config.ts";

/** The configuration as `--check` prints it: without the secret, units last, `null` for what is not there. */
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
    batch_max_bytes: batch.maxBytes,
    dead_letters_max_count: deadLetters.maxCount,
    dead_letters_max_bytes: deadLetters.maxBytes,
    dead_letters_max_share: deadLetters.maxShare,
    publisher_concurrency: config.concurrency,
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
        collector_timeout_ms: destination.timeoutMs,
        key_name: destination.key.name,
      };
    case "nats":
      return {
        nats_servers: destination.servers,
        nats_login: destination.login === undefined ? "none" : Object.keys(destination.login)[0],
        nats_tls: destination.tls !== undefined,
        nats_stream: destination.stream ?? null,
        nats_subject: destination.subject.text,
        nats_messages: destination.messages,
        nats_timeout_ms: destination.timeoutMs,
      };
    case "file":
      return { file_path: destination.path };
  }
}
