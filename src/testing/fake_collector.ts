/**
 * A collector on loopback that responds as a test tells it to.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ConfigurationError } from "../errors.ts";
import { checkOptions, OBJECT, type OptionKinds, wholeFrom } from "../options.ts";
import type { SigningKey } from "../wire/signature.ts";
import { namesOf, readRequest } from "./read_request.ts";
import { accept, type CollectedRequest, type FakeResponse, type Responder } from "./responses.ts";

/** Options of {@link FakeCollector.open}; all of them may be left out. */
export interface FakeCollectorOptions {
  /** The port on 127.0.0.1. Default: a free one. */
  readonly port?: number;
  /** The key that batches must be signed with. Default: the one in {@link FakeCollector.settings}. */
  readonly key?: SigningKey;
}

const OPTION_KINDS: OptionKinds<FakeCollectorOptions> = { port: wholeFrom(0, 65_535), key: OBJECT };

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
