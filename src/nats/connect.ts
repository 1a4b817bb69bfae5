/**
 * Connecting to a NATS server, and what the errors of a connection mean.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import type { Authenticator, ConnectionOptions, NatsConnection } from "@nats-io/transport-node";
import type { TlsFiles } from "../config/credentials.ts";
import type { NatsConnectionConfig, NatsLogin } from "../config/nats_config.ts";
import { ConfigurationError } from "../errors.ts";
import type { Failure } from "./pending_messages.ts";

/** How long connecting to one NATS server may take, in milliseconds. Then the next server is tried. */
const NATS_CONNECT_TIMEOUT_MS = 3_000;

/** How often a connection is pinged, in milliseconds. It is closed after three pings without a response. */
const NATS_PING_INTERVAL_MS = 5_000;

/** The library. It is loaded for the first connection, so that a process without NATS does not pay for it. */
export type NatsLibrary = typeof import("@nats-io/transport-node");

/**
 * Connects to one of the servers, in random order. A lost connection is not restored: the next publish connects
 * again. The library's own reconnect hides why it fails, and holds messages back meanwhile.
 *
 * @param name the name of the connection in the server's reports
 * @throws the error of the last server tried; {@link failureOf} explains it
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
    timeout: NATS_CONNECT_TIMEOUT_MS,
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

/** Credentials expire, so each connection reads them again. */
function readCredentials(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { message } = cause as Error;
    throw new Error(`cannot read the credentials file ${path}: ${message}`, { cause });
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Names of the library's errors when the server rejects the login. */
const LOGIN_ERRORS = new Set(["AuthorizationError", "UserAuthenticationExpiredError", "NKeysError"]);

const TLS_PROBLEM = /certificate|self.signed|CERT_|'?tls'?|altname|doesn't exist/i;
const CREDENTIALS_PROBLEM = /credentials|nkey|invalid seed|invalid checksum|invalid prefix/i;

/** What an error of connecting, or of a connection, means for the messages, and what to do about it. */
export function failureOf(error: unknown, servers: readonly string[]): Failure {
  const { name, message, code } = toError(error);
  if (ConfigurationError.is(error)) return { kind: "misconfigured", reason: message };
  const where = `NATS at ${servers.join(", ")}`;
  if (LOGIN_ERRORS.has(name) || CREDENTIALS_PROBLEM.test(message))
    return {
      kind: "misconfigured",
      reason: `${where} rejected the login: ${message}: see nats.user, nats.token, nats.nkey_seed or nats.credentials_file`,
    };
  if (TLS_PROBLEM.test(`${code} ${message}`))
    return {
      kind: "misconfigured",
      reason: `${where}: TLS failed: ${message}: see tls:// in nats.servers, and nats.tls_ca_file`,
    };
  return {
    kind: "unavailable",
    reason: `${where} cannot be reached: ${message || code || "the connection was closed"}`,
    isTransport: true,
  };
}

function toError(error: unknown): { name: string; message: string; code: string } {
  if (!(error instanceof Error)) return { name: "", message: String(error ?? ""), code: "" };
  const { name, message, code } = error as Error & { code?: unknown };
  return { name, message, code: typeof code === "string" ? code : "" };
}
