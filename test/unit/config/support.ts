import assert from "node:assert/strict";
import type { CollectorDestinationConfig } from "../../../src/config/destination_config.ts";
import { type PublisherConfig, parsePublisherConfig } from "../../../src/config/publisher_config.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { iniOf } from "./differences.ts";

/** The publisher's configuration of the minimal settings and those given. */
export function withSettings(
  settings: Record<string, string>,
  env: Record<string, string> = {},
): PublisherConfig {
  return parsePublisherConfig(iniOf(settings), { file: "f.ini", env });
}

/** Where the events go, if that is a collector. */
export function collectorOf({
  destination,
}: Pick<PublisherConfig, "destination">): CollectorDestinationConfig {
  assert.equal(destination.kind, "collector");
  return destination as CollectorDestinationConfig;
}

/** Asserts that something is rejected with a ConfigurationError of such a message. */
export function rejects(parse: () => unknown, message: RegExp): void {
  assert.throws(
    parse,
    (error) => error instanceof ConfigurationError && message.test(error.message),
    String(message),
  );
}

/** Runs something with a directory that is gone afterwards. */
export function inTemporaryDirectory(run: (directory: string) => void): void {
  using directory = temporaryDirectory();
  run(directory.path);
}

/** Every key, none with its default. */
export const EVERY_SETTING: Readonly<Record<string, string>> = {
  "collector.hostname": "localhost:9800/in",
  "collector.scheme": "http",
  "collector.version": "2j",
  "collector.timeout": "3s",
  "collector.proxy": "environment",
  "queue.directory": "/var/lib/eventspool",
  "queue.file_mode": "0660",
  "queue.ballast": "off",
  "queue.retention": "24h",
  "queue.retention_bytes": "1GiB",
  "publisher.subscription": "audit",
  "subscription.start": "oldest",
  "subscription.lag_limit": "1_000",
  max_queue_size: "5_000",
  "batch.max_age": "250ms",
  "batch.min_interval": "100ms",
  "batch.gzip_level": "6",
  "batch.max_bytes": "200kB",
  "batch.max_events": "100",
  "dead_letters.max_count": "500",
  "dead_letters.max_bytes": "1MiB",
  "dead_letters.max_share": "50%",
  "publisher.concurrency": "1",
  "publisher.drop_fields": "user.email, ip",
  "publisher.grace": "1m",
  "admin.listen": "./admin.sock",
  "metrics.namespace": "a.b",
  "metrics.endpoint": "statsd:8125",
  "metrics.log_if_unconfigured": "True",
  "metrics.swallow_network_errors": "TRUE",
};
