/**
 * Readers of single values. Each takes the text of a value, after its variables are expanded, and throws a
 * {@link ConfigurationError} without a location; {@link ConfigSection.read} adds it.
 */
import { isIPv6 } from "node:net";
import { ConfigurationError } from "../errors.ts";
import { anyOf } from "../format.ts";
import { isLoopbackHost } from "../server/request_origin.ts";

/** The longest duration, in milliseconds: more than a day is a wrong unit. */
const MAX_DURATION_MS = 86_400_000;

/** The default of `grace` and `publisher.grace`, in milliseconds. */
export const DEFAULT_GRACE_MS = 10_000;

/** Reads the text of a value. The text is empty if the key is absent. */
export type ValueParser<T> = (text: string) => T;

/** A range of numbers, both ends included. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

const MAX_QUOTED_CHARS = 100;

/** A value for messages: in double quotes, escaped, and at most 100 characters. */
export function quote(text: string): string {
  const shown = text.length > MAX_QUOTED_CHARS ? `${text.slice(0, MAX_QUOTED_CHARS)}...` : text;
  return JSON.stringify(shown);
}

/** Reads a value with `parse`, or returns `fallback` if the key is absent or blank. */
export function optional<T, D>(parse: ValueParser<T>, fallback: D): ValueParser<T | D> {
  return (text) => (text === "" ? fallback : parse(text));
}

/** Any text but the empty one. */
export function parseText(text: string): string {
  if (text === "") throw new ConfigurationError("no value specified");
  return text;
}

/**
 * Reads an integer within a range as Python's `int(text)` does: white space around it, a sign, and single underscores
 * between digits are allowed. Unlike in Python, digits and white space must be ASCII.
 *
 * @param what its name in messages
 */
export function integerIn({ min, max }: Range, what: string = "an integer"): ValueParser<number> {
  return (text) => {
    const value = toInteger(text);
    if (value !== undefined && value >= min && value <= max) return value;
    throw new ConfigurationError(`expected ${what} from ${min} to ${max}, got ${quote(text)}`);
  };
}

function toInteger(text: string): number | undefined {
  const [, digits] = /^[\t-\r ]*([+-]?\d+(?:_\d+)*)[\t-\r ]*$/.exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits.replaceAll("_", ""));
}

/** Reads `true` or `false`, in upper or lower case. */
export function parseBoolean(text: string): boolean {
  const word = text.toLowerCase();
  if (word !== "true" && word !== "false") {
    throw new ConfigurationError(`expected true or false, got ${quote(text)}`);
  }
  return word === "true";
}

/** Reads one of the given words, spelt exactly so. */
export function oneOf<T extends string>(...words: readonly T[]): ValueParser<T> {
  return (text) => {
    const word = words.find((candidate) => candidate === text);
    if (word === undefined) throw new ConfigurationError(`expected ${anyOf(words)}, got ${quote(text)}`);
    return word;
  };
}

type DurationRange = Pick<Range, "min"> & Partial<Range>;

const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Reads a duration such as `250ms`, `3s`, `5m` or `1h` as milliseconds, within a range: by default up to a day. */
export function durationMsIn({ min, max = MAX_DURATION_MS }: DurationRange): ValueParser<number> {
  return (text) => {
    const [, count = "", unit = ""] = /^(\d+) ?(ms|s|m|h)?$/.exec(text) ?? [];
    const scale = MILLISECONDS[unit];
    if (count !== "" && scale !== undefined) return checkRange(Number(count) * scale, { min, max }, "ms");
    const hint =
      count === "" ? "such as 250ms, 3s, 5m or 1h" : `with its unit, such as ${count}s or ${count}ms`;
    throw new ConfigurationError(`expected a duration ${hint}, got ${quote(text)}`);
  };
}

/** Reads how old an event may be: up to 100 years. */
export const parseAge: ValueParser<number> = durationMsIn({ min: 0, max: 3_153_600_000_000 });

const BYTES: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1_000,
  kib: 1_024,
  mb: 1_000_000,
  mib: 1_048_576,
  gb: 1_000_000_000,
  gib: 1_073_741_824,
};

/**
 * Reads a size as bytes, within a range: `512000`, `512000B`, `512kB` (1,000 bytes each), `500KiB` (1,024 bytes each),
 * `1MB`, `1MiB`, `1GB`, `1GiB`. Units may be in upper or lower case.
 */
export function bytesIn(range: Range): ValueParser<number> {
  return (text) => {
    const [, count = "", unit = ""] = /^(\d+) ?(b|kb|kib|mb|mib|gb|gib)?$/i.exec(text) ?? [];
    const scale = BYTES[unit.toLowerCase()];
    if (count !== "" && scale !== undefined) return checkRange(Number(count) * scale, range, " bytes");
    throw new ConfigurationError(`expected a size such as 512000, 500KiB or 1MB, got ${quote(text)}`);
  };
}

/** Reads a file mode in octal digits, such as `0600` or `660`. The owner must be able to read and write the file. */
export function parseFileMode(text: string): number {
  if (/^0?[67][0-7]{2}$/.test(text)) return Number.parseInt(text, 8);
  throw new ConfigurationError(
    `expected a mode that lets the owner read and write, such as 0600 or 0660, got ${quote(text)}`,
  );
}

/** Reads a percentage such as `10%`, `0.5%` or `100%` as a share above 0 and up to 1. */
export function parseShare(text: string): number {
  const [, percent] = /^(\d+(?:\.\d+)?) ?%$/.exec(text) ?? [];
  if (percent === undefined)
    throw new ConfigurationError(`expected a percentage such as 10%, got ${quote(text)}`);
  const share = Number(percent) / 100;
  if (share > 0 && share <= 1) return share;
  throw new ConfigurationError(`expected more than 0% and at most 100%, got ${percent}%`);
}

function checkRange(value: number, { min, max }: Range, unit: string): number {
  if (value >= min && value <= max) return value;
  throw new ConfigurationError(`expected ${min} to ${max}${unit}, got ${value}${unit}`);
}

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
