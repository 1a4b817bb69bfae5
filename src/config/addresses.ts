import { isIPv6 } from "node:net";
import { ConfigurationError } from "../errors.ts";
import { isLoopbackHost } from "../server/request_origin.ts";
import { integerIn, parseText, quote, type ValueParser } from "./parsers.ts";

/** A host, by name or address, and a port. */
export interface HostPort {
  /** A name or an IP address. */
  readonly host: string;
  /** The port. 0 lets the system choose one. */
  readonly port: number;
}

/** Where a server listens: a TCP address, or the path of a unix socket. */
export type ListenAddress = HostPort | { readonly path: string };

/** Reads a port. */
export function portFrom(min: number): ValueParser<number> {
  return integerIn({ min, max: MAX_PORT }, "a port");
}

const MAX_PORT = 65_535;
const LOOPBACK = "127.0.0.1";

/** Formats an address as in a configuration file. */
export function formatAddress(address: ListenAddress): string {
  if ("path" in address) return address.path;
  return isIPv6(address.host) ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/**
 * Reads where metrics are sent: `host:port`, as baseplate.py's `config.Endpoint` reads it. The first colon ends the
 * host, so it cannot be an IPv6 address; no host means this machine. The path of a unix socket is rejected: none of
 * Bun, Deno and Node sends datagrams to one.
 */
export function parseEndpoint(text: string): HostPort {
  if (text.includes("/")) {
    throw new ConfigurationError(`expected host:port, got ${quote(text)}: unix sockets are not supported`);
  }
  const [host = "", port, ...rest] = text.split(":");
  if (port === undefined)
    throw new ConfigurationError(`no port specified: expected host:port, got ${quote(text)}`);
  if (rest.length > 0) {
    throw new ConfigurationError(
      `expected host:port, got ${quote(text)}: use a host name instead of an IPv6 address`,
    );
  }
  if (/\s/.test(host))
    throw new ConfigurationError(`expected host:port, got ${quote(text)}: the host contains a space`);
  return { host: host || LOOPBACK, port: portFrom(1)(port) };
}

/**
 * Reads where to listen: `host:port`, `[IPv6]:port`, or the path of a unix socket, which contains a slash. Port 0 lets
 * the system choose a port. The host is required: `0.0.0.0:9900` listens on all interfaces.
 *
 * @param parsePath reads the path of a socket
 */
export function parseListenAddress(text: string, parsePath: ValueParser<string> = parseText): ListenAddress {
  if (parseText(text).includes("/")) return { path: parsePath(text) };
  const [, ipv6, name, port] = /^(?:\[([^\]]+)\]|([^\s:[\]]+)):(\d+)$/.exec(text) ?? [];
  const host = ipv6 ?? name;
  if (host === undefined || port === undefined || (ipv6 !== undefined && !isIPv6(ipv6))) {
    throw new ConfigurationError(
      `expected host:port, [IPv6]:port or the path of a unix socket such as ./admin.sock, got ${quote(text)}`,
    );
  }
  return { host, port: portFrom(0)(port) };
}

/** Reads a {@link parseListenAddress}, or `off` for nowhere. */
export function parseListenAddressOrOff(
  text: string,
  parsePath?: ValueParser<string>,
): ListenAddress | undefined {
  return text === "off" ? undefined : parseListenAddress(text, parsePath);
}

/** Whether only this machine can connect to the address: loopback, or a unix socket. */
export function isLocal(address: ListenAddress): boolean {
  return "path" in address || isLoopbackHost(address.host);
}
