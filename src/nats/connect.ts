/**
 * Connecting to a NATS server.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import type { Authenticator, ConnectionOptions, NatsConnection } from "@nats-io/transport-node";
import type { TlsFiles } from "../config/credentials.ts";
import type { NatsConnectionConfig, NatsLogin } from "../config/nats_config.ts";

/** How long one NATS server may take to connect to, in milliseconds: then the next one is tried. */
const NATS_DIAL_TIMEOUT_MS = 3_000;

/** How often a NATS server is asked whether it is still there, in milliseconds: it is given up after three times without an answer. */
const NATS_PING_INTERVAL_MS = 5_000;

/** The library, loaded when the first connection is made: who has no NATS servers does not pay for it. */
export type NatsLibrary = typeof import("@nats-io/transport-node");

/**
 * Connects to one of the servers, in random order, and to no other when that one goes away: who publishes next
 * dials again. The library's own reconnecting would not say why it fails, and holds messages back meanwhile.
 *
 * @param name what the server's reports call the connection
 * @throws what the last server that was tried said, see {@link failureOf}
 */
export async function connect(
  nats: NatsLibrary,
  config: NatsConnectionConfig,
  name: string,
): Promise<NatsConnection> {
  const options: ConnectionOptions = {
    servers: [...config.servers],
    name,
    reconnect: false,
    timeout: NATS_DIAL_TIMEOUT_MS,
    pingInterval: NATS_PING_INTERVAL_MS,
    inboxPrefix: config.inboxPrefix,
    noAsyncTraces: true,
    ...(config.tls && { tls: tlsOptions(config.tls) }),
    ...(config.login && { authenticator: authenticator(nats, config.login) }),
  };
  return await nats.connect(options);
}

function tlsOptions({ caFile, certFile, keyFile }: TlsFiles): NonNullable<ConnectionOptions["tls"]> {
  return { ...(caFile && { caFile }), ...(certFile && { certFile }), ...(keyFile && { keyFile }) };
}

function authenticator(nats: NatsLibrary, login: NatsLogin): Authenticator {
  if ("user" in login) return nats.usernamePasswordAuthenticator(login.user, text(login.password.reveal()));
  if ("token" in login) return nats.tokenAuthenticator(text(login.token.reveal()));
  if ("nkeySeed" in login) return nats.nkeyAuthenticator(login.nkeySeed.reveal());
  return nats.credsAuthenticator(readCredentials(login.credentialsFile));
}

/** They expire, so each dial reads them anew. */
function readCredentials(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { message } = cause as Error;
    throw new Error(`the credentials file ${path} cannot be read: ${message}`, { cause });
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
