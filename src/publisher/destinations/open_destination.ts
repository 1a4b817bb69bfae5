/**
 * From a configuration to a destination.
 *
 * @module
 */
import type { PublisherConfig } from "../../config/publisher_config.ts";
import { CollectorDestination } from "./collector.ts";
import type { Destination } from "./destination.ts";
import { FileDestination } from "./file.ts";
import { NatsDestination } from "./nats.ts";

/** The destination that a publisher's configuration asks for. Nothing is connected before the first batch. */
export function openDestination({ destination, batch, queueName }: PublisherConfig): Destination {
  switch (destination.kind) {
    case "collector": {
      const { key, ...place } = destination;
      return new CollectorDestination({
        ...place,
        key: { name: key.name, secret: key.secret.reveal() },
        gzipLevel: batch.gzipLevel,
      });
    }
    case "nats":
      return new NatsDestination(destination, queueName);
    case "file":
      return new FileDestination(destination.path);
  }
}
