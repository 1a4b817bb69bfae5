/**
 * The last minutes of a publisher, in memory.
 *
 * @module
 */
import { clearInterval, setInterval } from "node:timers";
import type { PublisherStatus } from "../../publisher/health.ts";

/** How often the dashboard takes a sample for its charts, in milliseconds; it costs the publisher some 20 us. */
export const HISTORY_EVERY_MS = 5_000;

/** How many samples it keeps: 15 minutes, and the one that they begin with. */
export const HISTORY_SAMPLES = 181;

/** The figures of one moment; the differences of counts are rates. */
export interface DepthSample {
  /** When, by the monotonic clock, in milliseconds. */
  readonly atMs: number;
  readonly depth: number;
  /** The age of the oldest event, in milliseconds; 0 when there is none. */
  readonly oldestAgeMs: number;
  /** Events ever put. */
  readonly put: number;
  /** Events the collector has accepted from this publisher. */
  readonly delivered: number;
}

/** Events a second, between two moments. */
export interface Rates {
  readonly put: number;
  readonly delivered: number;
}

/** How long the time must be that current rates are counted over, in milliseconds: a batch makes no spike. */
const MIN_WINDOW_MS = 0.5 * HISTORY_EVERY_MS;

/** Keeps the newest {@link HISTORY_SAMPLES} samples, one every {@link HISTORY_EVERY_MS}; put pays nothing for it. */
export class History {
  readonly #samples: DepthSample[] = [];

  /** Samples until `signal` aborts. A queue file that cannot be read leaves a gap. */
  static of(read: () => PublisherStatus, signal: AbortSignal): History {
    const history = new History();
    const look = (): void => {
      try {
        history.add(toSample(read()));
      } catch {
        // The page and /health tell of it.
      }
    };
    if (signal.aborted) return history;
    look();
    const timer = setInterval(look, HISTORY_EVERY_MS);
    timer.unref(); // what is being looked at keeps the process alive, not that we look
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
    return history;
  }

  /** The samples, the oldest first. */
  get samples(): readonly DepthSample[] {
    return this.#samples;
  }

  /** Adds a sample, and drops the oldest where there are too many. */
  add(sample: DepthSample): void {
    this.#samples.push(sample);
    if (this.#samples.length > HISTORY_SAMPLES) this.#samples.shift();
  }

  /** Rates up to now, over the last few seconds; undefined while nothing is known yet. */
  ratesUntil(now: DepthSample): Rates | undefined {
    const from = this.#samples.findLast(({ atMs }) => now.atMs - atMs >= MIN_WINDOW_MS);
    return from && ratesBetween(from, now);
  }
}

/** The figures of a status. @param atMs when it was read, by the monotonic clock, in milliseconds */
export function toSample(
  { state, delivered }: PublisherStatus,
  atMs: number = performance.now(),
): DepthSample {
  const { newestId, depth, oldestPutAtMs } = state;
  const oldestAgeMs = oldestPutAtMs === undefined ? 0 : Math.max(0, Date.now() - oldestPutAtMs);
  return { atMs, depth, oldestAgeMs, put: newestId, delivered };
}

/** Rates between two samples, never negative. */
export function ratesBetween(from: DepthSample, to: DepthSample): Rates {
  const seconds = (to.atMs - from.atMs) / 1_000;
  const rate = (before: number, after: number): number =>
    seconds > 0 ? Math.max(0, after - before) / seconds : 0;
  return { put: rate(from.put, to.put), delivered: rate(from.delivered, to.delivered) };
}
