/** A collector on loopback whose responses a test decides, and a publisher that sends to it. */
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
import { UNKNOWN_KEY } from "../config/config_section.ts";
import { parsePublisherConfig } from "../config/publisher_config.ts";
import { ConfigurationError, EventError } from "../errors.ts";
import { checkOption, checkOptions, type OptionKind, type OptionKinds, wholeFrom } from "../options.ts";
import { Publisher } from "../publisher/publisher.ts";
import { EVENT_IDS_HEADER, eachId, parseEventIds } from "../wire/event_ids.ts";
import type { SigningKey } from "../wire/signature.ts";
import { accept, type CollectedRequest, type FakeResponse, type Responder } from "./responses.ts";

/** Options of {@link FakeCollector.open}. */
export interface FakeCollectorOptions {
  /** The port on 127.0.0.1. Default: a free one. */
  readonly port?: number;
  /** The key that batches must be signed with. Default: the key in {@link FakeCollector.settings}. */
  readonly key?: SigningKey;
}

const SIGNING_KEY: OptionKind = {
  expected: "an object { name, secret } with a string and a Uint8Array",
  matches: (value) => {
    const { name, secret } = Object(value) as Partial<SigningKey>;
    return typeof name === "string" && secret instanceof Uint8Array;
  },
};

const OPTION_KINDS: OptionKinds<FakeCollectorOptions> = { port: wholeFrom(0, 65_535), key: SIGNING_KEY };

/** Options of {@link FakeCollector.waitFor}. */
export interface WaitOptions {
  /** How long to wait, in milliseconds. Default: 10,000. */
  readonly timeoutMs?: number;
}

const WAIT_OPTION_KINDS: OptionKinds<WaitOptions> = { timeoutMs: wholeFrom(0) };

const DEFAULT_KEY = { name: "tests", secret: Buffer.from("not a secret: only for tests") };
const DEFAULT_WAIT_MS = 10_000;

/** The events that a test waits for did not come in time. */
export class WaitTimeoutError extends EventError {
  /** The name of the class. */
  override name: "WaitTimeoutError" = "WaitTimeoutError";
  /** Always `WAIT_TIMEOUT`. */
  override readonly code: "WAIT_TIMEOUT" = "WAIT_TIMEOUT";
  /** The number of events that the test waits for. */
  readonly expected: number;
  /** The number of events that the collector received. */
  readonly received: number;

  /** Of the number of events, and what happened instead. */
  constructor(message: string, { expected, received }: { expected: number; received: number }) {
    super(message);
    this.expected = expected;
    this.received = received;
  }
}

/**
 * A real HTTP server on 127.0.0.1. It checks the signature, gzip and framing of a batch as a collector does, and
 * responds as {@link respond} decides.
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
  /** Decides the responses to the next requests. Default: `responses.accept()`. */
  respond: Responder = accept();
  /** Every batch with a valid signature, in order of arrival, whatever the response. */
  readonly requests: CollectedRequest[] = [];
  /** One line for each request that is not a signed batch, and for each error of `respond`. */
  readonly problems: string[] = [];
  readonly #key: SigningKey;
  readonly #server: Server;
  readonly #accepted: { readonly request: CollectedRequest; readonly rejected: readonly number[] }[] = [];
  readonly #received: unknown[] = [];
  readonly #names = new Set<string>();
  #counted = 0;
  #repeated = 0;
  #waiting = new Set<() => void>();

  private constructor(key: SigningKey) {
    this.#key = key;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  /** Starts a collector. @throws {ConfigurationError} (rejects) an option is not valid, or the port cannot be used */
  static async open(options: FakeCollectorOptions = {}): Promise<FakeCollector> {
    const { port = 0, key } = checkOptions(options, OPTION_KINDS);
    const collector = new FakeCollector(key ?? DEFAULT_KEY);
    collector.#server.listen(port, "127.0.0.1");
    await once(collector.#server, "listening").catch((cause: Error) => {
      throw new ConfigurationError(
        `cannot listen on port ${port}: ${cause.message}`,
        { key: "port" },
        { cause },
      );
    });
    return collector;
  }

  /** The port on 127.0.0.1. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** `http://127.0.0.1:PORT`. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The settings of a publisher that sends here: `collector.hostname`, `collector.scheme`, `key.name`, `key.secret`. */
  get settings(): Readonly<Record<string, string>> {
    return {
      "collector.hostname": `127.0.0.1:${this.port}`,
      "collector.scheme": "http",
      "key.name": this.#key.name,
      "key.secret": Buffer.from(this.#key.secret).toString("base64"),
    };
  }

  /** The events of all accepted batches, in order, each once even if it was sent again. */
  get received(): readonly unknown[] {
    for (; this.#counted < this.#accepted.length; this.#counted++)
      this.#count(this.#accepted[this.#counted]!);
    return this.#received;
  }

  /** How many events were sent again after they had been accepted. Needs a publisher that sends `Event-Ids`. */
  get repeated(): number {
    void this.received;
    return this.#repeated;
  }

  /**
   * Resolves with {@link received} once there are `count` events or more.
   *
   * @throws {WaitTimeoutError} (rejects) they did not come within `timeoutMs`; the message says what came
   * @throws {ConfigurationError} (rejects) an argument is not valid
   */
  async waitFor(count: number, options: WaitOptions = {}): Promise<readonly unknown[]> {
    checkOption("count", count, wholeFrom(0));
    const { timeoutMs = DEFAULT_WAIT_MS } = checkOptions(options, WAIT_OPTION_KINDS);
    const found = Promise.withResolvers<void>();
    const look = (): void => {
      if (this.received.length >= count) found.resolve();
    };
    const timer = setTimeout(() => found.reject(this.#timeoutError(count, timeoutMs)), timeoutMs);
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

  /** Stops the server, and closes its connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const sent = await buffer(incoming).catch(() => undefined);
    if (sent === undefined) return; // the publisher was stopped while it sent
    let request: CollectedRequest;
    try {
      request = readRequest(incoming, sent, this.#key);
    } catch (error) {
      this.#reject(incoming, response, error as Error & { status?: number });
      return;
    }
    this.requests.push(request);
    try {
      await this.#respond(request, response);
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

  async #respond(request: CollectedRequest, response: ServerResponse): Promise<void> {
    const decided: FakeResponse = await this.respond(request, this.requests.length - 1);
    const { status, headers = {}, body = "", rejected, cut } = decided;
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

  #timeoutError(expected: number, timeoutMs: number): WaitTimeoutError {
    const received = this.received.length;
    const statuses = this.requests.slice(-5).map(({ status = "no response" }) => status);
    const requests = `${this.requests.length} requests, the last responses: ${statuses.join(", ") || "none"}`;
    const problems = this.problems.length > 0 ? `; problems: ${this.problems.slice(-5).join("; ")}` : "";
    return new WaitTimeoutError(
      `The collector received ${received} of ${expected} events in ${timeoutMs} ms (${requests}${problems}). ` +
        "Check that a publisher of this queue runs, and read its log.",
      { expected, received },
    );
  }
}

const PATHS: Readonly<Record<string, RequestVersion>> = { "/v2": "2", "/v2j": "2j" };

/** Reads a batch, and checks its signature, gzip and framing. @throws {Error} it is not a signed batch */
function readRequest(request: IncomingMessage, sent: Buffer, key: SigningKey): CollectedRequest {
  const { url: path = "", headers } = request;
  const version = PATHS[path.replace(/.*(?=\/)/, "")];
  if (request.method !== "POST" || version === undefined) throw new Error("Use POST /v2 or /v2j.");
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

/** The ids of a request's events with their queue, from `Event-Ids`; empty unless there is one per event. */
function namesOf({ eventIds, events }: CollectedRequest): string[] {
  const ids = parseEventIds(eventIds);
  if (ids?.count !== events.length) return [];
  return [...eachId(ids.ranges)].map((id) => `${ids.queue}:${id}`);
}

/** Settings of a publisher's configuration file by key, such as `{ "publisher.concurrency": "1" }`. */
export type PublisherSettings = Readonly<Record<string, string>>;

/** Tests need not wait: neither for a batch to fill nor, at the end, for a collector that hangs. */
const QUICK: PublisherSettings = {
  "collector.version": "2j",
  "collector.timeout": "2s",
  "batch.max_age": "0ms",
  "batch.min_interval": "0ms",
  "publisher.grace": "100ms",
  "queue.ballast": "off",
};

/**
 * Starts the real publisher. It sends the queue's events to the collector until it is disposed of. By default it sends
 * JSON (version 2j), with a timeout of 2 s, and does not wait for larger batches. `settings` overrides that: for Thrift
 * events use `{ "collector.version": "2" }`.
 *
 * @param queue a `TestEventQueue`, or any `EventQueue` without another publisher
 * @throws {ConfigurationError} a setting is unknown or not valid
 */
export function publish(
  queue: { readonly name: string; readonly file: string },
  collector: FakeCollector,
  settings: PublisherSettings = {},
): Publisher {
  const all = Object.entries({ ...QUICK, ...collector.settings, ...settings });
  const lines = all.map(([key, value]) => `${key} = ${value}\n`);
  const text = `[event-publisher:${queue.name}]\n${lines.join("")}`;
  const config = parsePublisherConfig(text, { queueName: queue.name, file: "settings", env: {} });
  const unknown = config.warnings.find((warning) => warning.includes(UNKNOWN_KEY));
  if (unknown !== undefined) throw new ConfigurationError(unknown, { key: "settings" });
  const publisher = new Publisher({ ...config, directory: dirname(queue.file) });
  void publisher.run(); // never rejects; disposing of the publisher waits for its end
  return publisher;
}
