/**
 * A collector on loopback that responds as a test tells it to.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname } from "node:path";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { parseEvents } from "../collector/batch_parser.ts";
import { requireSignature, verifySignature } from "../collector/signature.ts";
import type { RequestVersion } from "../collector/sinks/sink.ts";
import { parsePublisherConfig } from "../config/publisher_config.ts";
import { ConfigurationError } from "../errors.ts";
import { checkOptions, integerFrom, OBJECT, type OptionKinds } from "../options.ts";
import { Publisher } from "../publisher/publisher.ts";
import { EVENT_IDS_HEADER, eachId, parseEventIds } from "../wire/event_ids.ts";
import type { SigningKey } from "../wire/signature.ts";
import { accept, type CollectedRequest, type FakeResponse, type Responder } from "./responses.ts";

/** Options of {@link FakeCollector.open}; all of them may be left out. */
export interface FakeCollectorOptions {
  /** The port on 127.0.0.1. Default: a free one. */
  readonly port?: number;
  /** The key that batches must be signed with. Default: the one in {@link FakeCollector.settings}. */
  readonly key?: SigningKey;
}

const OPTION_KINDS: OptionKinds<FakeCollectorOptions> = { port: integerFrom(0, 65_535), key: OBJECT };

/** How long {@link FakeCollector.waitFor} waits. */
export interface WaitOptions {
  /** When it gives up, in milliseconds. Default 10,000: longer means that something hangs. */
  readonly timeoutMs?: number;
}

const DEFAULT_KEY = { name: "tests", secret: Buffer.from("not a secret, but for tests") };
const DEFAULT_WAIT_MS = 10_000;

/**
 * A real HTTP server on 127.0.0.1 that checks batches as a collector does (signature, gzip, framing), and responds
 * as {@link respond} says.
 *
 * @example
 * ```ts
 * await using collector = await FakeCollector.open();
 * collector.respond = responses.times(2, responses.status(503)); // then it accepts
 * await using _publishing = publish(queue, collector);
 * assert.deepEqual(await collector.waitFor(1), [{ action: "view" }]);
 * ```
 */
export class FakeCollector implements AsyncDisposable {
  /** Responds to the next requests. Default: `responses.accept()`. */
  respond: Responder = accept();
  /** Every batch that was signed, in order of arrival, whatever the response. */
  readonly requests: CollectedRequest[] = [];
  /** What was not a signed batch, and what `respond` threw, a line each: none, unless something is wrong. */
  readonly problems: string[] = [];
  readonly #key: NonNullable<FakeCollectorOptions["key"]>;
  readonly #server: Server;
  readonly #accepted: { readonly request: CollectedRequest; readonly rejected: readonly number[] }[] = [];
  readonly #received: unknown[] = [];
  readonly #names = new Set<string>();
  #counted = 0;
  #repeated = 0;
  #waiting = new Set<() => void>();

  private constructor({ key = DEFAULT_KEY }: FakeCollectorOptions) {
    this.#key = key;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  /** Listens. @throws {ConfigurationError} (rejects) an option is not valid, or the port cannot be listened on */
  static async open(options: FakeCollectorOptions = {}): Promise<FakeCollector> {
    checkOptions(options, OPTION_KINDS);
    const collector = new FakeCollector(options);
    collector.#server.listen(options.port ?? 0, "127.0.0.1");
    await once(collector.#server, "listening").catch((cause: Error) => {
      throw new ConfigurationError(`cannot be listened on: ${cause.message}`, { key: "port" }, { cause });
    });
    return collector;
  }

  /** The port it listens on, on 127.0.0.1. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** `http://127.0.0.1:PORT`. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** What a publisher's configuration file needs to send here: `collector.hostname`, `collector.scheme`, `key.name`, `key.secret`. */
  get settings(): Readonly<Record<string, string>> {
    return {
      "collector.hostname": `127.0.0.1:${this.port}`,
      "collector.scheme": "http",
      "key.name": this.#key.name,
      "key.secret": Buffer.from(this.#key.secret).toString("base64"),
    };
  }

  /** The events of all batches it accepted, in the order of that, each once however often it came. */
  get received(): readonly unknown[] {
    for (; this.#counted < this.#accepted.length; this.#counted++)
      this.#count(this.#accepted[this.#counted]!);
    return this.#received;
  }

  /** How many events came again after they had been accepted. Of publishers that send no `Event-Ids` it cannot be told. */
  get repeated(): number {
    void this.received;
    return this.#repeated;
  }

  /**
   * Resolves with {@link received} once there are `count` events or more.
   *
   * @throws {Error} (rejects) after `timeoutMs`, telling what came instead
   */
  async waitFor(
    count: number,
    { timeoutMs = DEFAULT_WAIT_MS }: WaitOptions = {},
  ): Promise<readonly unknown[]> {
    const found = Promise.withResolvers<void>();
    const look = (): void => {
      if (this.received.length >= count) found.resolve();
    };
    const timer = setTimeout(() => found.reject(this.#missing(count, timeoutMs)), timeoutMs);
    this.#waiting.add(look);
    look();
    try {
      await found.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
    return this.received;
  }

  /** Stops, and cuts what is still connected. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    let request: CollectedRequest;
    try {
      request = await readRequest(incoming, this.#key);
    } catch (error) {
      this.#reject(incoming, response, error as Error & { status?: number });
      return;
    }
    this.requests.push(request);
    try {
      await this.#answer(request, response);
    } catch (error) {
      this.#reject(incoming, response, Object.assign(error as Error, { status: 500 }));
    }
  }

  #reject(
    { method, url }: IncomingMessage,
    response: ServerResponse,
    { message, status = 400 }: Error & { status?: number },
  ): void {
    this.problems.push(`${method} ${url}: ${message}`);
    response.writeHead(status).end(message);
  }

  async #answer(request: CollectedRequest, response: ServerResponse): Promise<void> {
    const answer: FakeResponse = await this.respond(request, this.requests.length - 1);
    const { status, headers = {}, body = "", rejected, cut } = answer;
    if (!cut) Object.assign(request, { status });
    if (rejected !== undefined || (status >= 200 && status < 300)) {
      this.#accepted.push({ request, rejected: rejected ?? [] });
      for (const look of this.#waiting) look();
    }
    if (cut) response.socket?.destroy();
    else response.writeHead(status, headers).end(body);
  }

  #count({ request, rejected }: { request: CollectedRequest; rejected: readonly number[] }): void {
    const names = namesOf(request);
    for (const [index, event] of request.events.entries()) {
      if (rejected.includes(index)) continue;
      const name = names[index];
      if (name !== undefined && this.#names.has(name)) this.#repeated++;
      else this.#received.push(event);
      if (name !== undefined) this.#names.add(name);
    }
  }

  #missing(count: number, timeoutMs: number): Error {
    const answers = this.requests.slice(-5).map(({ status = "no answer" }) => status);
    const requests = `${this.requests.length} requests, answered at last ${answers.join(", ") || "nothing"}`;
    const problems = this.problems.length > 0 ? `; problems: ${this.problems.slice(-5).join("; ")}` : "";
    return new Error(
      `The collector received ${this.received.length} of ${count} events in ${timeoutMs} ms: ${requests}${problems}. ` +
        "See that a publisher of this queue runs, and what it logs.",
    );
  }
}

const PATHS: Readonly<Record<string, RequestVersion>> = { "/v2": "2", "/v2j": "2j" };

/**
 * Reads a batch, and checks its signature, that it is gzip and what it is framed in.
 *
 * @throws {Error} it is none
 */
export async function readRequest(request: IncomingMessage, key: SigningKey): Promise<CollectedRequest> {
  const { url: path = "", headers } = request;
  const sent = await buffer(request);
  const version = PATHS[path.replace(/.*(?=\/)/, "")];
  if (request.method !== "POST" || version === undefined) throw new Error("There are POST /v2 and /v2j.");
  if (headers["content-encoding"] !== "gzip") throw new Error("Content-Encoding is not gzip.");
  const body = gunzipSync(sent);
  const keys = new Map([[key.name, key.secret]]);
  verifySignature(body, requireSignature(new Headers(headers as Record<string, string>), keys), keys);
  const { events } = parseEvents(body, version, { checkStructs: false });
  return {
    events: Array.from({ length: events.count }, (_, index): unknown => JSON.parse(events.text(index))),
    eventIds: String(headers[EVENT_IDS_HEADER.toLowerCase()] ?? ""),
    version,
    path,
    headers,
    bytes: body.length,
    atMs: performance.now(),
    status: undefined,
  };
}

/** The names of a request's events, one each, from its `Event-Ids` header; empty: it does not name them one by one. */
export function namesOf({ eventIds, events }: CollectedRequest): string[] {
  const ids = parseEventIds(eventIds);
  if (ids?.count !== events.length) return [];
  return [...eachId(ids.ranges)].map((id) => `${ids.queue}:${id}`);
}

/** Settings of a publisher's configuration file by their keys, such as `{ "publisher.concurrency": "1" }`. */
export type PublisherSettings = Readonly<Record<string, string>>;

/** So that tests need not wait: neither for events to gather nor, at the end, for a collector that hangs. */
const QUICK: PublisherSettings = {
  "collector.version": "2j",
  "collector.timeout": "2s",
  "batch.max_age": "0ms",
  "batch.min_interval": "0ms",
  "publisher.grace": "100ms",
  "queue.ballast": "off",
};

/**
 * Starts the real publisher: it takes the queue's events to the collector until it is disposed of. By default v2j
 * (JSON), with a timeout of 2 s and no waiting for larger batches; `settings` overrides it, for Thrift events
 * `{ "collector.version": "2" }`.
 *
 * @param queue a `TestEventQueue`, or any `EventQueue` that nobody else publishes
 * @throws {ConfigurationError} a setting is not valid
 */
export function publish(
  queue: { readonly name: string; readonly file: string },
  collector: FakeCollector,
  settings: PublisherSettings = {},
): Publisher {
  const all = Object.entries({ ...QUICK, ...collector.settings, ...settings });
  const lines = all.map(([key, value]) => `${key} = ${value}\n`);
  const text = `[event-publisher:${queue.name}]\n${lines.join("")}`;
  const config = parsePublisherConfig(text, { queueName: queue.name, env: {} });
  const publisher = new Publisher({ ...config, directory: dirname(queue.file) });
  void publisher.run(); // never rejects; disposing of it waits for its end
  return publisher;
}
