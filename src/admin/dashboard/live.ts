/**
 * Keeps pages that somebody looks at up to date.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { SSEStreamingApi } from "hono/streaming";
import { LIVE_EVERY_MS, LIVE_MAX_MS, LIVE_STALL_MS, MAX_LIVE_PAGES } from "../../limits.ts";

/** What a page is told; regions that did not change are left out on the way. */
export interface Update {
  readonly regions: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** How soon a browser comes back when a stream has ended, in milliseconds. */
const COME_BACK_MS = 2_000;

/** Sends updates to all pages. They share the work, and without a page there is none. */
export class LiveFeed {
  readonly #read: () => Update;
  readonly #stop: AbortSignal;
  readonly #stallMs: number;
  #next: Promise<Update> | undefined;
  #pages = 0;

  /**
   * @param read makes an update
   * @param stop ends all streams: one that stays open would keep a server from stopping
   * @param stallMs how long a page may take nothing, in milliseconds
   */
  constructor(read: () => Update, stop: AbortSignal, stallMs: number = LIVE_STALL_MS) {
    this.#read = read;
    this.#stop = stop;
    this.#stallMs = stallMs;
  }

  /** How many pages are being kept up to date. */
  get pages(): number {
    return this.#pages;
  }

  /** Whether one more would be too many. */
  get isFull(): boolean {
    return this.#pages >= MAX_LIVE_PAGES;
  }

  /** Sends updates until the page is gone, takes nothing any more, or the publisher stops. */
  async send(stream: SSEStreamingApi): Promise<void> {
    this.#pages++;
    try {
      await this.#sendAll(stream);
    } finally {
      this.#pages--;
    }
  }

  async #sendAll(stream: SSEStreamingApi): Promise<void> {
    const gone = new Promise<void>((resolve) => stream.onAbort(resolve));
    const endsAtMs = performance.now() + LIVE_MAX_MS;
    let known: Update["regions"] = {};
    let update: Update | undefined = this.#read();
    while (update !== undefined && !stream.aborted) {
      const regions = changes(known, update.regions);
      const data = JSON.stringify({ ...update, regions });
      const written = stream.writeSSE({ data, retry: COME_BACK_MS });
      if (!(await isTaken(written, gone, this.#stallMs))) break;
      known = update.regions;
      if (this.#stop.aborted || performance.now() > endsAtMs) return;
      update = await Promise.race([this.#update(), gone.then(() => undefined)]);
    }
    stream.abort();
  }

  /** The next update, the same for all who wait for it. */
  #update(): Promise<Update> {
    this.#next ??= this.#wait().then(() => {
      this.#next = undefined;
      return this.#read();
    });
    return this.#next;
  }

  async #wait(): Promise<void> {
    await sleep(LIVE_EVERY_MS, undefined, { signal: this.#stop }).catch(() => {}); // stopped: at once
  }
}

function changes(known: Update["regions"], now: Update["regions"]): Record<string, string> {
  return Object.fromEntries(Object.entries(now).filter(([name, text]) => known[name] !== text));
}

/** Whether a browser has taken it, in time. */
async function isTaken(written: Promise<void>, gone: Promise<void>, stallMs: number): Promise<boolean> {
  const patience = new AbortController();
  const stalled = sleep(stallMs, false, { signal: patience.signal }).catch(() => false);
  const taken = await Promise.race([written.then(() => true), gone.then(() => false), stalled]);
  patience.abort();
  return taken;
}
