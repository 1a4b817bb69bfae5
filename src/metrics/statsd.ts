/**
 * Metrics in statsd's format, with the same packets as baseplate.py.
 * Source: baseplate.py `baseplate/lib/metrics.py`.
 */
import { createSocket, type Socket } from "node:dgram";
import { type LookupAddress, lookup } from "node:dns";
import { isIP } from "node:net";
import { setInterval } from "node:timers"; // the global one returns a number in older Denos, without unref
import { getLogger } from "@logtape/logtape";

/** Options of a {@link StatsdClient}. */
export interface StatsdOptions {
  /** The prefix of every metric name. Dots at its ends are removed; empty: no prefix. */
  readonly namespace: string;
  /** The UDP address of statsd. Default: none, and nothing is sent. */
  readonly endpoint?: UdpEndpoint | undefined;
  /** Whether to write the metrics to the debug log when there is no endpoint. Default: false. */
  readonly logIfUnconfigured?: boolean | undefined;
}

/**
 * Sends metrics to statsd, one UDP packet each. A failure, such as an unknown host, is only logged: no method throws,
 * waits or rejects.
 */
export class StatsdClient {
  readonly #namespace: string;
  readonly #sender: UdpSender | undefined;
  readonly #send: (packet: string) => void;

  constructor({ namespace, endpoint, logIfUnconfigured = false }: StatsdOptions) {
    this.#namespace = namespace;
    this.#sender = endpoint && new UdpSender(endpoint);
    this.#send = this.#sender?.send ?? (logIfUnconfigured ? logMetric : () => {});
  }

  /** Adds `delta`, by default 1, to a counter. */
  counter(name: string, delta = 1): void {
    this.#send(formatCounter(joinName(this.#namespace, name), delta));
  }

  /** Records how long something took, in milliseconds. */
  timer(name: string, elapsedMs: number): void {
    this.#send(formatTimer(joinName(this.#namespace, name), elapsedMs));
  }

  /** Waits up to a quarter of a second for packets in flight, and closes the socket. */
  async close(): Promise<void> {
    await this.#sender?.close();
  }
}

function logMetric(metric: string): void {
  getLogger(["eventspool", "metrics"]).debug("Would send metric {metric}", { metric });
}

/** Joins the parts of a metric name with dots. Empty parts and dots at the ends of a part are removed. */
export function joinName(...parts: string[]): string {
  return parts
    .filter((part) => part !== "")
    .map((part) => part.replace(/^\.+|\.+$/g, ""))
    .join(".");
}

/** `NAME:DELTA|c`. */
export function formatCounter(name: string, delta: number): string {
  return `${name}:${formatNumber(delta)}|c`;
}

/** `NAME:MS|ms`. */
export function formatTimer(name: string, elapsedMs: number): string {
  return `${name}:${formatNumber(elapsedMs)}|ms`;
}

/** Formats a finite number like C's `%g`: six significant digits, no trailing zeros, an exponent outside 1e-4 to 1e6. */
export function formatNumber(value: number): string {
  const [digits = "", exponent] = roundToSixDigits(value).split("e");
  const power = Number(exponent);
  if (power >= -4 && power < 6) return String(Number(`${digits}e${power}`));
  const sign = power < 0 ? "-" : "+";
  return `${Number(digits)}e${sign}${String(Math.abs(power)).padStart(2, "0")}`;
}

/** `d.ddddde±p`. JavaScript rounds a tie away from zero, C to the even digit. */
function roundToSixDigits(value: number): string {
  const tie = /^(-?\d\.\d{4}[02468])50*(e.*)$/.exec(value.toExponential(30));
  return tie ? `${tie[1]}${tie[2]}` : value.toExponential(5);
}

/** Where packets are sent. Unix datagram sockets are not supported: `node:dgram` has none. */
export interface UdpEndpoint {
  /** A host name or an IP address. */
  readonly host: string;
  readonly port: number;
}

/** How often a host name is resolved again, in milliseconds: a statsd may move. */
const LOOKUP_INTERVAL_MS = 30_000;

/** The most packets in flight to the kernel. More are dropped, so that memory stays bounded. */
const MAX_IN_FLIGHT = 256;

/** The shortest time between two log lines about failures, in milliseconds. */
const LOG_INTERVAL_MS = 60_000;

/** How long `close` waits for packets in flight, in milliseconds. */
const CLOSE_TIMEOUT_MS = 250;

const logger = getLogger(["eventspool", "metrics"]);

/**
 * Sends UDP packets without waiting. A packet that cannot be sent at once, such as while the host name is resolved, is
 * dropped and counted. It keeps no process alive.
 */
export class UdpSender {
  readonly #endpoint: UdpEndpoint;
  readonly #inFlight: Set<Promise<void>> = new Set();
  #socket: Socket | undefined;
  #address: LookupAddress | undefined;
  readonly #lookupTimer: NodeJS.Timeout;
  #lookingUp = false;
  #closed = false;
  #dropped = 0;
  #lastLogMs = Number.NEGATIVE_INFINITY;

  constructor(endpoint: UdpEndpoint) {
    this.#endpoint = endpoint;
    const family = isIP(endpoint.host);
    if (family === 0) this.#lookUp();
    else this.#useAddress({ address: endpoint.host, family });
    this.#lookupTimer = setInterval(() => this.#lookUp(), LOOKUP_INTERVAL_MS).unref();
  }

  /** Sends one packet, or drops it. Never throws. */
  readonly send = (packet: string): void => {
    if (this.#socket === undefined || this.#closed || this.#inFlight.size >= MAX_IN_FLIGHT) {
      this.#dropped++;
      return;
    }
    const sent = this.#transmit(this.#socket, packet)
      .catch((error: Error) => this.#report(error))
      .finally(() => this.#inFlight.delete(sent));
    this.#inFlight.add(sent);
  };

  /** Waits briefly for packets in flight, then closes the socket. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#lookupTimer);
    const { promise: timeout, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, CLOSE_TIMEOUT_MS);
    await Promise.race([Promise.all(this.#inFlight), timeout]);
    clearTimeout(timer);
    this.#discardSocket();
  }

  #transmit(socket: Socket, packet: string): Promise<void> {
    return new Promise((resolve, reject) => {
      socket.send(packet, this.#endpoint.port, this.#address?.address, (error) =>
        error ? reject(error) : resolve(),
      );
    });
  }

  /** One look-up at a time: they must not pile up when a DNS server does not respond. */
  #lookUp(): void {
    if (this.#lookingUp) return;
    this.#lookingUp = true;
    lookup(this.#endpoint.host, { all: true }, (error, addresses) => {
      this.#lookingUp = false;
      if (this.#closed) return;
      if (error) this.#report(error);
      // IPv4 first: baseplate.py uses nothing else, and many statsd servers listen on nothing else.
      else this.#useAddress(addresses.find(({ family }) => family === 4) ?? addresses[0]);
    });
  }

  #useAddress(address: LookupAddress | undefined): void {
    if (address === undefined) return;
    if (this.#address?.family !== address.family && this.#isAllowed(address))
      this.#openSocket(address.family === 6 ? "udp6" : "udp4");
    this.#address = address;
  }

  /** A publisher without the permission continues without metrics. */
  #isAllowed(address: LookupAddress): boolean {
    const missing = missingUdpPermission({ ...address, port: this.#endpoint.port });
    if (missing === undefined) return true;
    this.#report(new Error(`Deno does not allow it: metrics are off; start it with --allow-net=${missing}`));
    return false;
  }

  #openSocket(type: "udp4" | "udp6"): void {
    this.#discardSocket();
    this.#socket = createSocket(type).unref();
    this.#socket.on("error", (error) => {
      this.#report(error);
      this.#discardSocket();
    });
  }

  /** The next look-up opens another socket. A broken socket may never report on its packets. */
  #discardSocket(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#address = undefined;
    this.#inFlight.clear();
  }

  #report(error: Error): void {
    const nowMs = performance.now();
    if (this.#closed || nowMs - this.#lastLogMs < LOG_INTERVAL_MS) return;
    this.#lastLogMs = nowMs;
    const { host, port } = this.#endpoint;
    logger.warn("Cannot send metrics to {host}:{port}: {problem}", {
      host,
      port,
      problem: error.message,
      dropped: this.#dropped,
    });
  }
}

/** The part of `Deno` that is used. */
interface DenoPermissions {
  readonly permissions: { querySync(asked: { name: "net"; host: string }): { readonly state: string } };
}

/** An IP address and a port. */
interface UdpAddress {
  readonly address: string;
  readonly family: number;
  readonly port: number;
}

/**
 * What `--allow-net` lacks to send packets to an address; undefined: nothing, or this is not Deno. Call it before a socket
 * is opened: under Deno, a missing permission is an uncaught error of `node:dgram`.
 */
export function missingUdpPermission({ address, family, port }: UdpAddress): string | undefined {
  const { Deno: deno } = globalThis as { Deno?: DenoPermissions };
  if (deno === undefined) return undefined;
  const hosts = family === 6 ? ["[::]:0", `[${address}]:${port}`] : ["0.0.0.0:0", `${address}:${port}`];
  const missing = hosts.filter(
    (host) => deno.permissions.querySync({ name: "net", host }).state !== "granted",
  );
  return missing.length === 0 ? undefined : missing.join(",");
}
