import { isIPv6 } from "node:net";
import { ConfigurationError } from "../errors.ts";
import { integerIn, parseText, quote, type ValueParser } from "./parsers.ts";

/** A host, by name or address, and a port. */
export interface HostPort {
  /** A name or an IP address. */
  readonly host: string;
  /** The port, from 0. */
  readonly port: number;
}

/** Where a server listens: a TCP address, or a unix socket by the path of its file. */
export type ListenAddress = HostPort | { readonly path: string };

const MAX_PORT = 65_535;
const LOOPBACK = "127.0.0.1";

/** The address as it is written in a configuration file. */
export function formatAddress(address: ListenAddress): string {
  if ("path" in address) return address.path;
  return isIPv6(address.host) ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/**
 * Where metrics are sent: `host:port`, read as baseplate.py's `config.Endpoint` reads it (the first
 * colon ends the host, so no IPv6 address; no host means this machine). Its other form, the path of a
 * unix socket, is rejected: none of Bun, Deno and Node sends datagrams to one.
 */
export function parseEndpoint(text: string): HostPort {
  if (text.includes("/")) {
    throw new ConfigurationError(
      `expected host:port, got ${quote(text)}: unix sockets are not supported here`,
    );
  }
  const [host = "", port, ...rest] = text.split(":");
  if (port === undefined)
    throw new ConfigurationError(`no port specified: expected host:port, got ${quote(text)}`);
  if (rest.length > 0) {
    throw new ConfigurationError(`expected host:port, got ${quote(text)}: give IPv6 hosts by name`);
  }
  if (/\s/.test(host))
    throw new ConfigurationError(`expected host:port, got ${quote(text)}: the host holds a space`);
  return { host: host || LOOPBACK, port: integerIn({ min: 1, max: MAX_PORT })(port) };
}

/**
 * Where to listen: `host:port`, `[IPv6]:port`, or the path of a unix socket, which has a slash in it.
 * Port 0 lets the system choose one. A host must be given: `0.0.0.0:9900` is all interfaces.
 *
 * @param parsePath reads the path of a socket
 */
export function parseListenAddress(text: string, parsePath: ValueParser<string> = parseText): ListenAddress {
  if (parseText(text).includes("/")) return { path: parsePath(text) };
  const [, ipv6, name, port] = /^(?:\[([^\]]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = ipv6 ?? name;
  if (host === undefined || port === undefined || (ipv6 !== undefined && !isIPv6(ipv6))) {
    throw new ConfigurationError(
      `expected host:port, [IPv6]:port or the path of a unix socket such as ./admin.sock, got ${quote(text)}`,
    );
  }
  return { host, port: integerIn({ min: 0, max: MAX_PORT })(port) };
}

/** A {@link parseListenAddress}, or `off` for nowhere. */
export function parseListenAddressOrOff(
  text: string,
  parsePath?: ValueParser<string>,
): ListenAddress | undefined {
  return text === "off" ? undefined : parseListenAddress(text, parsePath);
}

/** Whether only this machine reaches the address: loopback, or a unix socket. */
export function isLocal(address: ListenAddress): boolean {
  return "path" in address || /^(localhost|127(\.\d+){3}|::1)$/i.test(address.host);
}
