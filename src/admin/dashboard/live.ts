/** Keeps open pages up to date. */

/** How often an open dashboard is updated, in milliseconds. */
const LIVE_EVERY_MS = 1_000;

/** How many dashboards are updated at once. They share the work, about 0.5 ms a second; each is a connection. */
export const MAX_LIVE_PAGES = 16;

/** How long a dashboard may read nothing before its stream is closed, in milliseconds. */
const LIVE_STALL_MS = 30_000;

/** How long one stream of updates lasts, in milliseconds: the browser opens the next, and must still be signed in. */
const LIVE_MAX_MS = 3_600_000;

/** What a page gets; regions that did not change are not sent. */
export interface Update {
  readonly regions: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** How soon a browser opens a new stream when one has ended, in milliseconds. */
const COME_BACK_MS = 2_000;

/** Times of a {@link LiveFeed}, in milliseconds. */
export interface LiveTimes {
  /** How often pages are updated. Default: {@link LIVE_EVERY_MS}. */
  readonly everyMs?: number;
  /** How long a page may read nothing. Default: {@link LIVE_STALL_MS}. */
  readonly stallMs?: number;
}

/** A page that is updated. */
interface LivePage {
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  readonly isAllowed: () => boolean;
  readonly endsAtMs: number;
  /** What was last sent to it, by region. */
  known: Update["regions"];
  sentAtMs: number;
}

/**
 * Sends updates to all pages, as server-sent events. They share one timer and the work; without a page there is neither.
 * No promise is kept for an update: reactions on a promise that lives as long as its stream were never freed, and an open
 * page took 5 MB a minute.
 */
export class LiveFeed {
  readonly #read: () => Update;
  readonly #stop: AbortSignal;
  readonly #everyMs: number;
  readonly #stallMs: number;
  readonly #pages = new Set<LivePage>();
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param read makes an update
   * @param stop ends all streams: one that stays open would keep a server from stopping
   */
  constructor(read: () => Update, stop: AbortSignal, times: LiveTimes = {}) {
    this.#read = read;
    this.#stop = stop;
    this.#everyMs = times.everyMs ?? LIVE_EVERY_MS;
    this.#stallMs = times.stallMs ?? LIVE_STALL_MS;
    stop.addEventListener("abort", () => this.#sendToAll(), { once: true });
  }

  /** How many pages are updated. */
  get pages(): number {
    return this.#pages.size;
  }

  /** Whether one more would be too many. */
  get isFull(): boolean {
    return this.#pages.size >= MAX_LIVE_PAGES;
  }

  /** A single update, for a page that asks again. */
  once(): string {
    return toMessage(this.#read());
  }

  /**
   * The updates of a page, until it is closed, reads nothing more, or the publisher stops.
   *
   * @param isAllowed whether the page may still see updates
   */
  open(isAllowed: () => boolean = () => true): ReadableStream<Uint8Array> {
    let page: LivePage;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        const nowMs = performance.now();
        page = { controller, isAllowed, endsAtMs: nowMs + LIVE_MAX_MS, known: {}, sentAtMs: nowMs };
        this.#pages.add(page);
        this.#timer ??= setInterval(() => this.#sendToAll(), this.#everyMs);
        this.#send(page, this.#read());
      },
      cancel: () => this.#forget(page),
    });
  }

  #sendToAll(): void {
    if (this.#pages.size === 0) return;
    const update = this.#read();
    for (const page of this.#pages) this.#send(page, update);
  }

  /** A page that has not read the last update yet gets the changes once it has. */
  #send(page: LivePage, update: Update): void {
    const { controller, endsAtMs } = page;
    const nowMs = performance.now();
    if (!page.isAllowed()) {
      this.#end(page);
      return;
    }
    if ((controller.desiredSize ?? 0) > 0) {
      const regions = changes(page.known, update.regions);
      controller.enqueue(Buffer.from(toMessage({ ...update, regions })));
      page.known = { ...page.known, ...regions };
      page.sentAtMs = nowMs;
    } else if (nowMs - page.sentAtMs > this.#stallMs) {
      this.#forget(page);
      controller.error(new Error("the page reads nothing"));
      return;
    }
    if (this.#stop.aborted || nowMs >= endsAtMs) this.#end(page);
  }

  #end(page: LivePage): void {
    this.#forget(page);
    page.controller.close();
  }

  #forget(page: LivePage): void {
    this.#pages.delete(page);
    if (this.#pages.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function changes(known: Update["regions"], now: Update["regions"]): Record<string, string> {
  return Object.fromEntries(Object.entries(now).filter(([name, text]) => known[name] !== text));
}

function toMessage(update: Update): string {
  return `data: ${JSON.stringify(update)}\nretry: ${COME_BACK_MS}\n\n`;
}
