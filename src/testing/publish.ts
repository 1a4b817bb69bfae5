/**
 * A publisher between a queue and a fake collector.
 *
 * @module
 */
import { dirname } from "node:path";
import { parsePublisherConfig } from "../config/publisher_config.ts";
import { Publisher } from "../publisher/publisher.ts";
import type { FakeCollector } from "./fake_collector.ts";

/** Settings of a publisher's configuration file by their keys, such as `{ "publisher.concurrency": "1" }`. */
export type PublisherSettings = Readonly<Record<string, string>>;

/** So that tests need not wait: neither for events to gather nor, at the end, for a collector that hangs. */
const QUICK: PublisherSettings = {
  "collector.version": "2j",
  "collector.timeout": "2s",
  "batch.max_age": "0ms",
  "batch.min_interval": "0ms",
  "publisher.grace": "100ms",
  "queue.ballast": "off",
};

/**
 * Starts the real publisher: it takes the queue's events to the collector until it is disposed of. By default v2j
 * (JSON), with a timeout of 2 s and no waiting for larger batches; `settings` overrides it, for Thrift events
 * `{ "collector.version": "2" }`.
 *
 * @param queue a `TestEventQueue`, or any `EventQueue` that nobody else publishes
 * @throws {ConfigurationError} a setting is not valid
 */
export function publish(
  queue: { readonly name: string; readonly file: string },
  collector: FakeCollector,
  settings: PublisherSettings = {},
): Publisher {
  const all = Object.entries({ ...QUICK, ...collector.settings, ...settings });
  const lines = all.map(([key, value]) => `${key} = ${value}\n`);
  const text = `[event-publisher:${queue.name}]\n${lines.join("")}`;
  const config = parsePublisherConfig(text, { queueName: queue.name, env: {} });
  const publisher = new Publisher({ ...config, directory: dirname(queue.file) });
  void publisher.run(); // never rejects; disposing of it waits for its end
  return publisher;
}
