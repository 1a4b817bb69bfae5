/**
 * Keeps pages that somebody looks at up to date.
 *
 * @module
 */

/** How often a dashboard that somebody looks at is brought up to date, in milliseconds. */
const LIVE_EVERY_MS = 1_000;

/** How many dashboards are kept up to date at once. They share the work, some 0.5 ms a second, and each is a connection. */
export const MAX_LIVE_PAGES = 16;

/** How long a dashboard may take nothing of what it is sent before it is given up, in milliseconds. */
const LIVE_STALL_MS = 30_000;

/** How long one stream of updates lasts, in milliseconds: a browser asks for the next, and must still be signed in. */
const LIVE_MAX_MS = 3_600_000;

/** What a page is told; regions that did not change are left out on the way. */
export interface Update {
  readonly regions: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** How soon a browser comes back when a stream has ended, in milliseconds. */
const COME_BACK_MS = 2_000;

/** How a {@link LiveFeed} keeps time, in milliseconds. */
export interface LiveTimes {
  /** How often pages are brought up to date. Default: {@link LIVE_EVERY_MS}. */
  readonly everyMs?: number;
  /** How long a page may take nothing. Default: {@link LIVE_STALL_MS}. */
  readonly stallMs?: number;
}

/** A page that is being kept up to date. */
interface LivePage {
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  readonly isAllowed: () => boolean;
  readonly endsAtMs: number;
  /** What it was sent last, of each region. */
  known: Update["regions"];
  sentAtMs: number;
}

/**
 * Sends updates to all pages, as server-sent events. They share one timer and the work, and without a page there is
 * neither. No promise is kept per update: reactions on one that lives as long as its stream were never freed, and an
 * open page cost 5 MB a minute.
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

  /** How many pages are being kept up to date. */
  get pages(): number {
    return this.#pages.size;
  }

  /** Whether one more would be too many. */
  get isFull(): boolean {
    return this.#pages.size >= MAX_LIVE_PAGES;
  }

  /** One update and no more, for a page that asks again. */
  once(): string {
    return toMessage(this.#read());
  }

  /**
   * The updates of a page, until it is gone, takes nothing any more, or the publisher stops.
   *
   * @param isAllowed false: the page may see nothing any more
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

  /** A page that has not taken the last update yet gets what changed since when it has. */
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
      controller.error(new Error("the page takes nothing of what it is sent"));
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
