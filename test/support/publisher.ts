import { parsePublisherConfig } from "../../src/config/publisher_config.ts";
import { Publisher, type PublisherOptions } from "../../src/publisher/publisher.ts";
import type { Timings } from "../../src/publisher/waiting.ts";
import { EventQueue, type EventQueueOptions } from "../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../src/serializers/json.ts";
import { iniOf, PUBLISHER, type Settings } from "./config.ts";
import { temporaryDirectory } from "./temporary.ts";

export type { Settings };

/** Short waits, so that tests of failures are quick. */
const QUICK: Partial<Timings> = { backoffMaxMs: 50, healthMs: 50 };

/** A publisher of queue `main` so configured: by default v2j over http, in batches that wait for nothing. It is in the directory unless `queue.file` is set. */
export function newPublisher(
  url: string,
  directory: string,
  settings: Settings = {},
  options: PublisherOptions = {},
): Publisher {
  const all: Settings = {
    ...PUBLISHER,
    "collector.hostname": url.replace("http://", ""),
    ...(settings["queue.file"] === undefined && { "queue.directory": directory }),
    "batch.max_age": "0ms",
    ...settings,
  };
  const config = parsePublisherConfig(iniOf("event-publisher:main", all), { env: {} });
  return new Publisher(config, options, QUICK);
}

/** A new queue from end to end: `await using main = newQueue(collector.url);`. */
export interface PublishedQueue extends AsyncDisposable {
  readonly directory: string;
  readonly publisher: Publisher;
  readonly queue: EventQueue<unknown>;
}

/** Makes a queue in a directory of its own, with a publisher that does not run yet. `openTelemetry` is for both. */
export function newQueue(
  url: string,
  settings: Settings = {},
  options: PublisherOptions & Pick<EventQueueOptions, "openTelemetry"> = {},
): PublishedQueue {
  const directory = temporaryDirectory();
  const publisher = newPublisher(url, directory.path, settings, options);
  const { openTelemetry } = options;
  const queue = new EventQueue("main", serializeJsonEvent, {
    directory: directory.path,
    ...(openTelemetry !== undefined && { openTelemetry }),
  });
  return {
    directory: directory.path,
    publisher,
    queue,
    [Symbol.asyncDispose]: async () => {
      queue.close();
      await publisher[Symbol.asyncDispose]();
      directory[Symbol.dispose]();
    },
  };
}
