/** From a configuration to a destination. */
import process from "node:process";
import { createSecureContext } from "node:tls";
import { loadTls, type TlsFiles } from "../../config/credentials.ts";
import type { DestinationConfig } from "../../config/destination_config.ts";
import type { HttpTransportConfig } from "../../config/http_config.ts";
import type { PublisherConfig } from "../../config/publisher_config.ts";
import { ConfigurationError } from "../../errors.ts";
import { collectorProtocol } from "./collector.ts";
import type { Destination } from "./destination.ts";
import { FileDestination } from "./file.ts";
import { HttpDestination, type HttpLocation } from "./http.ts";
import type { ProxyEnv, TlsMaterial } from "./http_client.ts";
import { endpointProtocol } from "./http_endpoint.ts";
import { NatsDestination } from "./nats.ts";
import { PostgresDestination } from "./postgres.ts";

/** Creates the destination of each kind. */
const DESTINATIONS: { readonly [Kind in DestinationConfig["kind"]]: Open<Kind> } = {
  collector: ({ version, key, ...location }, { batch }) => {
    const protocol = collectorProtocol(version, { name: key.name, secret: key.secret.reveal() });
    return new HttpDestination(protocol, httpLocation(location, batch.gzipLevel));
  },
  http: (config, { batch, queueName }) => {
    const gzipLevel = config.compression === "none" ? undefined : batch.gzipLevel;
    const { shownUrl } = config;
    return new HttpDestination(endpointProtocol(config, queueName), {
      ...httpLocation(config, gzipLevel),
      shownUrl,
    });
  },
  nats: (config, { queueName }) => new NatsDestination(config, queueName),
  postgres: (config, { queueName }) => new PostgresDestination(config, queueName),
  file: ({ path }) => new FileDestination(path),
};

type Open<Kind> = (
  destination: Extract<DestinationConfig, { readonly kind: Kind }>,
  config: PublisherConfig,
) => Destination;

/**
 * The destination that a publisher's configuration asks for. Nothing is connected before the first batch.
 *
 * @throws {ConfigurationError} its certificates cannot be used
 */
export function openDestination(config: PublisherConfig): Destination {
  const { destination } = config;
  return (DESTINATIONS[destination.kind] as Open<string>)(destination as never, config);
}

function httpLocation(
  { url, timeoutMs, proxy, tls }: HttpTransportConfig & { readonly url: string },
  gzipLevel: number | undefined,
): HttpLocation {
  return { url, timeoutMs, gzipLevel, proxyEnv: proxyEnvOf(proxy), tls: tls && loadSecureContext(tls) };
}

const PROXY_VARIABLES = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"];

function proxyEnvOf(proxy: HttpTransportConfig["proxy"]): ProxyEnv | undefined {
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
    throw new ConfigurationError(`tls_*: cannot use ${files}: ${(cause as Error).message}`, {}, { cause });
  }
}
