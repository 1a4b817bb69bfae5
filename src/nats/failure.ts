/**
 * What a connection's errors mean.
 *
 * @module
 */
import { ConfigurationError } from "../errors.ts";
import type { Failure } from "./types.ts";

/** Names of the library's errors that say that the server does not want us. */
const LOGIN_ERRORS = new Set(["AuthorizationError", "UserAuthenticationExpiredError", "NKeysError"]);

const TLS_PROBLEM = /certificate|self.signed|CERT_|'?tls'?|altname|doesn't exist/i;
const CREDENTIALS_PROBLEM = /credentials|nkey|invalid seed|invalid checksum|invalid prefix/i;

/** Tells what an error of connecting, or of a connection, means for the messages, and what is to be done. */
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
      reason: `${where}: no TLS: ${message}: see tls:// in nats.servers, and nats.tls_ca_file`,
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
