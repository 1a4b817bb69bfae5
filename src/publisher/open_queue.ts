/** Opening the queue of a publisher. */
import type { PublisherConfig } from "../config/publisher_config.ts";
import { ConfigurationError } from "../errors.ts";
import { Ballast } from "../storage/ballast.ts";
import { EventTable } from "../storage/events.ts";
import { isPartOfQueue, locateQueueFile } from "../storage/locations.ts";
import { isBusy, retryWhileBusy } from "../storage/lock_wait.ts";
import { OPEN_TIMEOUT_MS, QueueFile } from "../storage/queue_file.ts";
import { isDiskFull } from "../storage/storage_error.ts";
import { SubscriptionTable } from "../storage/subscriptions.ts";

/** An open queue file, and its events. */
export interface OpenQueue {
  readonly file: QueueFile;
  readonly events: EventTable;
}

/**
 * Opens the queue file, and creates it if it does not exist; or opens the service's database in the configuration.
 *
 * @param isDestinationGiven whether a destination replaces the configured one: then `collector.version` does not matter
 * @throws {ConfigurationError} the queue name is not valid, or its events are written for another version
 * @throws {EventStorageError} the file cannot be used, or is not a queue, or has no such subscription
 */
export function openQueue(
  config: PublisherConfig,
  { destinationUrl, isDestinationGiven }: { destinationUrl: string; isDestinationGiven: boolean },
): OpenQueue {
  const file = openFile(config.file ?? locateQueueFile(config.queueName, config.directory), config);
  try {
    const events = new EventTable(file);
    checkDestinationFile(config, file.path);
    if (!isDestinationGiven) checkBatchVersion(config, events);
    const subscriptions = new SubscriptionTable(file);
    // As patient as opening: a lock that is held for some seconds must not end a start.
    retryWhileBusy(() => applySettings(config, events, subscriptions), OPEN_TIMEOUT_MS);
    noteDestination(config, subscriptions, destinationUrl);
    return { file, events };
  } catch (error) {
    file.close(); // the caller has no reference to it
    throw error;
  }
}

/** Writes the configuration's values into the file, where they differ. */
function applySettings(config: PublisherConfig, events: EventTable, subscriptions: SubscriptionTable): void {
  if (config.maxQueueSize !== undefined) events.setMaxEvents(config.maxQueueSize);
  if (config.retention !== undefined) events.setRetention(config.retention);
  openSubscription(config, subscriptions);
}

/** @throws {ConfigurationError} `destination = file` would write into the queue */
function checkDestinationFile({ destination }: PublisherConfig, queueFile: string): void {
  if (destination.kind !== "file" || !isPartOfQueue(destination.path, queueFile)) return;
  throw new ConfigurationError(`${destination.path} is a file of the queue itself: name another.`, {
    key: "file.path",
  });
}

/** Adds the subscription if the configuration says where it starts. Otherwise it must exist. */
function openSubscription(
  { subscription: { name, start, lagLimit } }: PublisherConfig,
  subscriptions: SubscriptionTable,
): void {
  if (start !== undefined && subscriptions.add(name, { start, limit: lagLimit ?? {} })) return;
  if (lagLimit !== undefined) subscriptions.setLagLimit(name, lagLimit);
  else subscriptions.idOf(name);
}

/**
 * Without the note, events of two subscriptions that share a destination may be stored twice. So neither a full disk nor a
 * lock that stays held ends a start.
 */
function noteDestination(
  { subscription }: PublisherConfig,
  subscriptions: SubscriptionTable,
  url: string,
): void {
  try {
    retryWhileBusy(() => subscriptions.noteDestination(subscription.name, url), OPEN_TIMEOUT_MS);
  } catch (error) {
    if (!isDiskFull(error) && !isBusy(error)) throw error;
  }
}

/** Opens the file. On a full disk it deletes the ballast of an earlier publisher first. */
function openFile(path: string, config: PublisherConfig): QueueFile {
  const { file, fileMode, ballastBytes, allowNetworkFileSystem } = config;
  const open = () =>
    file === undefined
      ? QueueFile.open(path, { role: "publisher", fileMode, allowNetworkFileSystem })
      : QueueFile.openOutbox(path);
  try {
    return open();
  } catch (error) {
    if (!isDiskFull(error) || !new Ballast(path, ballastBytes).release()) throw error;
    return open();
  }
}

/**
 * Rejects a configuration whose version is not the one that the events are written for: the collector would reject each
 * event.
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
