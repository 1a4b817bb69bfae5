/**
 * From a configuration to the queue that a publisher works on.
 *
 * @module
 */
import type { PublisherConfig } from "../config/publisher_config.ts";
import { ConfigurationError } from "../errors.ts";
import { Ballast } from "../storage/ballast.ts";
import { EventTable } from "../storage/events.ts";
import { locateQueueFile } from "../storage/locations.ts";
import { DEFAULT_BUSY_TIMEOUT_MS } from "../storage/lock_wait.ts";
import { QueueFile } from "../storage/queue_file.ts";
import { isDiskFull } from "../storage/storage_error.ts";
import { SubscriptionTable } from "../storage/subscriptions.ts";

/** A queue's file, open, and the events in it. */
export interface OpenQueue {
  readonly file: QueueFile;
  readonly events: EventTable;
}

/**
 * Opens a queue's own file, and makes it if it does not exist, or the service's database that the configuration names.
 *
 * @param isDestinationGiven whether events go elsewhere than the configuration says, so that its version says nothing
 * @throws {ConfigurationError} the queue's name is not valid, or its events are written for another version
 * @throws {EventStorageError} the file cannot be used, or is not a queue, or has no such subscription
 */
export function openQueue(
  config: PublisherConfig,
  { isDestinationGiven }: { isDestinationGiven: boolean },
): OpenQueue {
  const file = openFile(config.file ?? locateQueueFile(config.queueName, config.directory), config);
  try {
    const events = new EventTable(file);
    if (!isDestinationGiven) checkBatchVersion(config, events);
    if (config.maxQueueSize !== undefined) events.setMaxEvents(config.maxQueueSize);
    if (config.retention !== undefined) events.setRetention(config.retention);
    openSubscription(config, new SubscriptionTable(file));
    return { file, events };
  } catch (error) {
    file.close(); // nobody else can
    throw error;
  }
}

/** Adds the subscription where the configuration says from which event on; else it must be there. */
function openSubscription(
  { subscription: { name, start, lagLimit } }: PublisherConfig,
  subscriptions: SubscriptionTable,
): void {
  if (start !== undefined && subscriptions.add(name, { start, limit: lagLimit ?? {} })) return;
  if (lagLimit !== undefined) subscriptions.setLagLimit(name, lagLimit);
  else subscriptions.idOf(name);
}

/** On a full disk it opens the file in the space of the ballast that an earlier publisher has left. */
function openFile(path: string, config: PublisherConfig): QueueFile {
  const { file, fileMode, ballastBytes, allowNetworkFileSystem } = config;
  const busyTimeoutMs = DEFAULT_BUSY_TIMEOUT_MS;
  const open = () =>
    file === undefined
      ? QueueFile.open(path, {
          role: "publisher",
          durability: "process",
          busyTimeoutMs,
          fileMode,
          allowNetworkFileSystem,
        })
      : QueueFile.openOutbox(path, { busyTimeoutMs });
  try {
    return open();
  } catch (error) {
    if (!isDiskFull(error) || !new Ballast(path, ballastBytes).release()) throw error;
    return open();
  }
}

/**
 * Rejects a configuration that sends events as another version than their serializer has written them for: the collector
 * would reject each of them.
 *
 * @throws {ConfigurationError}
 */
export function checkBatchVersion({ destination, queueName }: PublisherConfig, events: EventTable): void {
  const written = events.batchVersion();
  if (destination.kind !== "collector" || written === undefined || written === destination.version) return;
  const problem = `is ${destination.version}, and the events of this queue are written for version ${written}: set collector.version = ${written}, or use another serializer.`;
  throw new ConfigurationError(problem, {
    section: `event-publisher:${queueName}`,
    key: "collector.version",
  });
}
