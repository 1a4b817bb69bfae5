import type { NatsConnectionConfig } from "../../src/config/nats_config.ts";
import { NatsPublisher, type NatsPublisherOptions } from "../../src/nats/nats_publisher.ts";
import type { Messages } from "../../src/nats/pending_messages.ts";
import type { NatsServer } from "./nats.ts";

/** A stop that does not come. */
export const RUNNING: AbortSignal = new AbortController().signal;

/** How to connect to servers. */
export function connection(
  servers: readonly NatsServer[],
  config: Partial<NatsConnectionConfig> = {},
): NatsConnectionConfig {
  return {
    servers: servers.map(({ address }) => address),
    login: undefined,
    tls: undefined,
    inboxPrefix: "_INBOX",
    timeoutMs: 30_000,
    ...config,
  };
}

/** A publisher to one server, closed when the test ends. */
export function publisher(
  server: NatsServer,
  options: Partial<NatsPublisherOptions & NatsConnectionConfig> = {},
): NatsPublisher & AsyncDisposable {
  const nats = new NatsPublisher(connection([server], options), {
    name: "test",
    subjects: "events.>",
    ...options,
  });
  return Object.assign(nats, { [Symbol.asyncDispose]: () => nats.close() });
}

/** Messages of these texts, whose first 20 characters are their ids. */
export function messages(texts: readonly string[], subject: string = "events.v2"): Messages {
  return {
    count: texts.length,
    subject: () => subject,
    id: (index) => texts[index]!.slice(0, 20),
    body: (index) => Buffer.from(texts[index]!),
  };
}

/** `event 0` and so on. */
export function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, n) => `event ${n}`);
}
