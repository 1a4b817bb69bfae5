/**
 * Metrics in statsd's format, packet for packet as baseplate.py sends them.
 * Source: baseplate.py `baseplate/lib/metrics.py`.
 *
 * @module
 */

import { getLogger } from "@logtape/logtape";
import { type UdpEndpoint, UdpSender } from "./udp_sender.ts";

/** Options of a {@link StatsdClient}. */
export interface StatsdOptions {
  /** What every metric's name starts with; dots at its ends are dropped, an empty one adds nothing. */
  readonly namespace: string;
  /** Where statsd listens, by UDP. Without it nothing is sent. */
  readonly endpoint?: UdpEndpoint | undefined;
  /** Whether to write the metrics into the debug log when there is no endpoint; default no. */
  readonly logIfUnconfigured?: boolean | undefined;
}

/**
 * Sends metrics to statsd, one UDP packet each. A statsd that is down, slow or unknown to DNS is
 * the log's business and never the caller's: no method throws, waits or rejects.
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

  /** Lets packets on their way leave, for a quarter of a second at most, and closes the socket. */
  async close(): Promise<void> {
    await this.#sender?.close();
  }
}

function logMetric(metric: string): void {
  getLogger(["eventspool", "metrics"]).debug("Would send metric {metric}", { metric });
}

/** Joins the parts of a metric's name with dots: empty parts are left out, dots at a part's ends dropped. */
export function joinName(...parts: string[]): string {
  return parts
    .filter((part) => part !== "")
    .map((part) => part.replace(/^\.+|\.+$/g, ""))
    .join(".");
}

/** `NAME:DELTA|c`, and `|@RATE` when the sample rate is below 1. */
export function formatCounter(name: string, delta: number, sampleRate = 1): string {
  return `${name}:${formatNumber(delta)}|c${formatSampleRate(sampleRate)}`;
}

/** `NAME:MS|ms`, and `|@RATE` when the sample rate is below 1. */
export function formatTimer(name: string, elapsedMs: number, sampleRate = 1): string {
  return `${name}:${formatNumber(elapsedMs)}|ms${formatSampleRate(sampleRate)}`;
}

/** `NAME:VALUE|g`. */
export function formatGauge(name: string, value: number): string {
  return `${name}:${formatNumber(value)}|g`;
}

function formatSampleRate(sampleRate: number): string {
  return sampleRate < 1 ? `|@${formatNumber(sampleRate)}` : "";
}

/** C's `%g` of a finite number: six significant digits, no trailing zeros, an exponent outside 1e-4 to 1e6. */
export function formatNumber(value: number): string {
  const [digits = "", exponent] = roundToSixDigits(value).split("e");
  const power = Number(exponent);
  if (power >= -4 && power < 6) return String(Number(`${digits}e${power}`));
  const sign = power < 0 ? "-" : "+";
  return `${Number(digits)}e${sign}${String(Math.abs(power)).padStart(2, "0")}`;
}

/** `d.ddddde±p`. JavaScript rounds a tie away from zero, C rounds it to the even digit. */
function roundToSixDigits(value: number): string {
  const tie = /^(-?\d\.\d{4}[02468])50*(e.*)$/.exec(value.toExponential(30));
  return tie ? `${tie[1]}${tie[2]}` : value.toExponential(5);
}
