import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { KEY } from "./keys.ts";

/** An event of the tests of processes: a number, which is its row's id too, and whatever a test adds. */
export interface NumberedEvent {
  readonly n: number;
  readonly [field: string]: unknown;
}

/** How a scripted collector answers. */
export interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** A v2j batch that came with a good signature. */
export interface ReceivedBatch {
  readonly events: readonly NumberedEvent[];
  /** The numbers of the events. */
  readonly numbers: readonly number[];
  /** The header as it came. */
  readonly eventIds: string;
  /** The path it was sent to. */
  readonly path: string;
  /** When, by the monotonic clock, in milliseconds. */
  readonly atMs: number;
  /** What it was answered; undefined until then. */
  status: number | undefined;
}

/** Decides on a batch; `nth` counts requests from 0. */
export type Script = (batch: ReceivedBatch, nth: number) => Answer | Promise<Answer>;

/** Takes everything. */
export const ACCEPT: Script = () => ({ status: 200 });

/** Answers nothing, ever. */
export const HANG: Script = () => new Promise<never>(() => {});

/** Takes everything, but not before it is released. */
export function heldBack(): { readonly script: Script; release(): void } {
  const { promise: released, resolve } = Promise.withResolvers<void>();
  const script: Script = async (batch, nth) => {
    await released;
    return ACCEPT(batch, nth);
  };
  return { script, release: resolve };
}

/** A collector that misbehaves as told: `await using collector = await ScriptedCollector.open();`. */
export class ScriptedCollector implements AsyncDisposable {
  /** How the next requests are answered. */
  script: Script = ACCEPT;
  /** Every request that was signed, in order of arrival, whatever the answer. */
  readonly batches: ReceivedBatch[] = [];
  /** What was not a signed batch: none, unless something is wrong. */
  readonly problems: string[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  /** Listens on a free port, or on `port`. */
  static async open({ port = 0 }: { port?: number } = {}): Promise<ScriptedCollector> {
    const collector = new ScriptedCollector();
    collector.#server.listen(port, "127.0.0.1");
    await once(collector.#server, "listening");
    return collector;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The batches it answered with a 2xx. */
  get accepted(): ReceivedBatch[] {
    return this.batches.filter(({ status = 0 }) => status >= 200 && status < 300);
  }

  /** The numbers of the events it answered with a 2xx, in order, duplicates and all. */
  get acceptedNumbers(): number[] {
    return this.accepted.flatMap(({ numbers }) => numbers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const batch = await readBatch(request);
      this.batches.push(batch);
      const { status, headers = {}, body = "" } = await this.script(batch, this.batches.length - 1);
      batch.status = status;
      response.writeHead(status, headers).end(body);
    } catch (error) {
      this.problems.push(`${request.method} ${request.url}: ${error}`);
      response.writeHead(400).end();
    }
  }
}

async function readBatch(request: IncomingMessage): Promise<ReceivedBatch> {
  const body = gunzipSync(await buffer(request));
  const mac = createHmac("sha256", KEY.secret).update(body).digest("hex");
  if (request.headers["x-signature"] !== `key=${KEY.name}, mac=${mac}`) throw new Error("a bad signature");
  const events = JSON.parse(body.toString()) as NumberedEvent[];
  return {
    events,
    numbers: events.map(({ n }) => n),
    eventIds: String(request.headers["event-ids"]),
    path: request.url ?? "",
    atMs: performance.now(),
    status: undefined,
  };
}

/** The row ids that an `Event-Ids` header names, in order. */
export function namedIds(eventIds: string): number[] {
  const [, ranges = ""] = /^[0-9a-f-]{36}:([\d,-]+)$/.exec(eventIds) ?? [];
  return ranges.split(",").flatMap((range) => {
    const [first = Number.NaN, last = first] = range.split("-").map(Number);
    return numbersFrom(first, last);
  });
}

/** `first` to `last`, both included. */
export function numbersFrom(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
