/**
 * From a configuration to a destination.
 *
 * @module
 */
import process from "node:process";
import { createSecureContext } from "node:tls";
import { loadTls, type TlsFiles } from "../../config/credentials.ts";
import type { CollectorDestinationConfig } from "../../config/destination_config.ts";
import type { PublisherConfig } from "../../config/publisher_config.ts";
import { ConfigurationError } from "../../errors.ts";
import { CollectorDestination } from "./collector.ts";
import type { ProxyEnv, TlsMaterial } from "./collector_client.ts";
import type { Destination } from "./destination.ts";
import { FileDestination } from "./file.ts";
import { NatsDestination } from "./nats.ts";

/**
 * The destination that a publisher's configuration asks for. Nothing is connected before the first batch.
 *
 * @throws {ConfigurationError} its certificates cannot be used
 */
export function openDestination({ destination, batch, queueName }: PublisherConfig): Destination {
  switch (destination.kind) {
    case "collector": {
      const { key, proxy, tls, ...location } = destination;
      return new CollectorDestination({
        ...location,
        key: { name: key.name, secret: key.secret.reveal() },
        gzipLevel: batch.gzipLevel,
        proxyEnv: proxyEnvOf(proxy),
        tls: tls && loadSecureContext(tls),
      });
    }
    case "nats":
      return new NatsDestination(destination, queueName);
    case "file":
      return new FileDestination(destination.path);
  }
}

const PROXY_VARIABLES = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"];

function proxyEnvOf(proxy: CollectorDestinationConfig["proxy"]): ProxyEnv | undefined {
  if (proxy === undefined) return undefined;
  if (proxy === "environment")
    return Object.fromEntries(PROXY_VARIABLES.map((name) => [name, process.env[name]]));
  const url = Buffer.from(proxy.reveal()).toString();
  return { http_proxy: url, https_proxy: url };
}

/** Read when a publisher starts, and so again after SIGHUP. @throws {ConfigurationError} */
function loadSecureContext({ caFile, certFile, keyFile }: TlsFiles): TlsMaterial {
  const tls = loadTls({ caFile, certFile, keyFile });
  try {
    createSecureContext(tls); // fails now instead of at the first request
    return tls;
  } catch (cause) {
    const files = [caFile, certFile, keyFile].filter((path) => path !== undefined).join(", ");
    throw new ConfigurationError(
      `collector.tls_*: cannot use ${files}: ${(cause as Error).message}`,
      {},
      { cause },
    );
  }
}
