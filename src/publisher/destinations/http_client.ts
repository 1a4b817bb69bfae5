/**
 * POSTs to one URL. It uses a proxy and certificates when told to, and never those of the environment; it sends a body
 * once only; and it tells a TLS fault by its code. `node:http` does so on Bun, Deno and Node, unlike `fetch`. Where Bun
 * has sessions of `fetch`, which do so too, they send what needs no proxy: 60 us of CPU a request instead of 240, and
 * 125 instead of 340 for 150 kB.
 */
import http, { type ClientRequest, type IncomingMessage, type RequestOptions } from "node:http";
import https from "node:https";
import { ConfigurationError } from "../../errors.ts";
import { EVENT_IDS_HEADER } from "../../wire/event_ids.ts";
import { MAX_RESPONSE_BYTES } from "../../wire/rejections.ts";
import type { HttpResponse } from "./http_response.ts";

/** Variables of a process as they name proxies: `http_proxy`, `https_proxy`, `no_proxy`, in any case. */
export type ProxyEnv = Readonly<Record<string, string | undefined>>;

/** Certificates and a key, in PEM. */
export interface TlsMaterial {
  /** The certificate authorities that are trusted. Default: those of the runtime. */
  readonly ca?: Buffer | undefined;
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
}

/** Options of {@link HttpClient}. */
export interface HttpClientOptions {
  /** How long one POST may take, connect to last byte of the response, in milliseconds. */
  readonly timeoutMs: number;
  /** Which proxies are used. Default: none, whatever the environment says. */
  readonly proxyEnv?: ProxyEnv | undefined;
  readonly tls?: TlsMaterial | undefined;
  /** How much of a response is read, in bytes. Default: the longest that a collector sends. */
  readonly maxResponseBytes?: number | undefined;
}

/** What is POSTed. */
export interface HttpPost {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** An agent of Node's with what its types do not have yet. */
type AgentOptions = https.AgentOptions & { readonly proxyEnv: ProxyEnv };

const NO_PROXIES =
  "this runtime cannot use a proxy (collector.proxy, http.proxy): use Bun 1.4, Deno 2.9, Node 22.21 or 24.5, or later";

/** Older runtimes ignore `proxyEnv`, and would connect without the proxy. */
function knowsProxies(agent: http.Agent): boolean {
  return Reflect.ownKeys(agent).some((key) => /proxyConfig/i.test(String(key)));
}

/** POSTs batches to one URL. */
export class HttpClient {
  readonly #target: RequestOptions;
  readonly #transport: typeof http | typeof https;
  readonly #timeoutMs: number;
  readonly #url: string;
  readonly #maxResponseBytes: number;
  #session: FetchSession | undefined;

  /** @throws {ConfigurationError} there are proxies, and the runtime cannot use them */
  constructor(url: string, { timeoutMs, proxyEnv, tls = {}, maxResponseBytes }: HttpClientOptions) {
    const { protocol, hostname, port, pathname, search, host } = new URL(url);
    this.#transport = protocol === "https:" ? https : http;
    this.#timeoutMs = timeoutMs;
    this.#url = url;
    this.#maxResponseBytes = maxResponseBytes ?? MAX_RESPONSE_BYTES;
    // Certificates are checked whatever NODE_TLS_REJECT_UNAUTHORIZED in the environment says.
    const checked = { ...tls, rejectUnauthorized: true };
    if (proxyEnv === undefined) this.#session = openFetchSession(checked);
    const options: AgentOptions = { keepAlive: true, proxyEnv: proxyEnv ?? {}, ...checked };
    const agent = new this.#transport.Agent(options);
    if (proxyEnv !== undefined && !knowsProxies(agent)) throw new ConfigurationError(NO_PROXIES);
    this.#target = {
      method: "POST",
      protocol,
      host: hostname.replace(/^\[|\]$/g, ""),
      ...(port !== "" && { port }),
      path: `${pathname}${search}`,
      headers: { Host: host },
      agent,
    };
  }

  /** Lets go of its connections. */
  close(): void {
    (this.#target.agent as http.Agent).destroy();
    this.#session?.close();
  }

  /**
   * Sends a request and reads the beginning of the response. Whatever throws here is the transport's: no response
   * came, and the collector may or may not have the events. A redirect is a response, and is never followed.
   */
  async post(post: HttpPost, stop: AbortSignal): Promise<HttpResponse> {
    stop.throwIfAborted(); // the listener below would not be called
    const cut = new AbortController();
    const onStop = (): void => cut.abort(stop.reason);
    // Not AbortSignal.timeout, which lives until the timeout has passed: at 200 requests a second that took 10 MB.
    const timer = setTimeout(
      () => cut.abort(new Error(`no answer within ${this.#timeoutMs} ms`)),
      this.#timeoutMs,
    );
    stop.addEventListener("abort", onStop, { once: true });
    try {
      if (this.#session === undefined) return await this.#request(post, cut.signal);
      return await this.#fetch(this.#session, post, cut.signal);
    } finally {
      clearTimeout(timer);
      stop.removeEventListener("abort", onStop);
    }
  }

  async #request({ headers, body }: HttpPost, cut: AbortSignal): Promise<HttpResponse> {
    const request = this.#transport.request({
      ...this.#target,
      headers: { ...this.#target.headers, ...headers, "Content-Length": body.length },
    });
    cut.addEventListener("abort", () => request.destroy(cut.reason as Error), { once: true });
    const response = await responseOf(request, body);
    return responseWith(
      response.statusCode ?? 0,
      (name) => response.headers[name] as string | undefined,
      await readBeginning(response, { request, maxBytes: this.#maxResponseBytes }),
    );
  }

  async #fetch(
    session: FetchSession,
    { headers, body }: HttpPost,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const response = await session.fetch(this.#url, { method: "POST", headers, body, signal, ...RAW });
    const read = await readStream(response.body, this.#maxResponseBytes);
    if (isDelimited(response))
      return responseWith(response.status, (name) => response.headers.get(name), read);
    // Only node:http knows a body that the end of the connection ends from one that was cut: it sends the next ones.
    this.#session = undefined;
    session.close();
    return responseWith(response.status, (name) => response.headers.get(name), { ...read, isCut: true });
  }
}

/** How `fetch` takes a response as it comes: redirects and encodings are not followed, and the timeout is ours. */
const RAW = { redirect: "manual", decompress: false, timeout: false } as const;

/** A `Bun.FetchSession`: `fetch` with connections of its own. Bun has it since 1.4.3. */
interface FetchSession {
  fetch(
    url: string,
    init: HttpPost & typeof RAW & { readonly method: "POST"; readonly signal: AbortSignal },
  ): Promise<Response>;
  close(): void;
}

/** Undefined: this runtime has none. */
function openFetchSession(tls: object): FetchSession | undefined {
  const { Bun } = globalThis as {
    Bun?: { FetchSession?: new (options: { proxy: false; tls: object }) => FetchSession };
  };
  return Bun?.FetchSession && new Bun.FetchSession({ proxy: false, tls });
}

/** Whether a response says where it ends. */
function isDelimited({ status, headers }: Response): boolean {
  return status === 204 || headers.has("content-length") || headers.has("transfer-encoding");
}

async function readStream(body: Response["body"], maxBytes: number): Promise<Beginning> {
  const beginning = new BeginningOfBody(maxBytes);
  try {
    const reader = body?.getReader();
    for (;;) {
      const { done = true, value } = (await reader?.read()) ?? {};
      if (done) return beginning.read(false);
      if (beginning.add(value!)) continue;
      await reader?.cancel();
      return beginning.read(true);
    }
  } catch {
    return beginning.read(true);
  }
}

/** The beginning of a body, and whether there is more of it. */
type Beginning = Pick<HttpResponse, "text" | "isCut">;

/** Collects at most so much of a body. One that is cut, hangs or is too long ends early: what it means is not decided here. */
class BeginningOfBody {
  readonly #chunks: Uint8Array[] = [];
  readonly #maxBytes: number;
  #size = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** False: it is too long. */
  add(chunk: Uint8Array): boolean {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    return this.#size <= this.#maxBytes;
  }

  read(isCut: boolean): Beginning {
    const bytes = Buffer.concat(this.#chunks).subarray(0, this.#maxBytes);
    return { text: new TextDecoder().decode(bytes), isCut };
  }
}

function responseWith(
  status: number,
  header: (name: string) => string | null | undefined,
  beginning: Beginning,
): HttpResponse {
  return {
    status,
    contentType: header("content-type") ?? "",
    contentEncoding: header("content-encoding") ?? "",
    acceptEncoding: header("accept-encoding") ?? undefined,
    retryAfter: header("retry-after") ?? null,
    eventIds: header(EVENT_IDS_HEADER.toLowerCase()) ?? undefined,
    isCached: Number(header("age") ?? 0) > 0,
    ...beginning,
  };
}

function responseOf(request: ClientRequest, body: Uint8Array): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.on("response", resolve);
    request.on("upgrade", (_response, socket) => {
      socket.destroy();
      reject(new Error("the answer is 101, to speak another protocol"));
    });
    // Or Deno sends the body a second time, unasked, when a kept-alive connection dies.
    request.on("socket", () => {
      request.reusedSocket = false;
    });
    request.on("error", reject); // and not `once`: an error after the response must not end the process
    request.on("close", () => reject(new Error("the connection was closed without an answer")));
    request.end(body);
  });
}

/** By listeners, as `for await` takes a third more CPU for the whole request under Bun. */
function readBeginning(
  response: IncomingMessage,
  { request, maxBytes }: { readonly request: ClientRequest; readonly maxBytes: number },
): Promise<Beginning> {
  return new Promise((resolve) => {
    const beginning = new BeginningOfBody(maxBytes);
    const finish = (isCut: boolean): void => resolve(beginning.read(isCut));
    response.on("data", (chunk: Uint8Array) => {
      if (beginning.add(chunk)) return;
      finish(true);
      response.destroy();
    });
    response.on("end", () => finish(false));
    response.on("error", () => finish(true));
    response.on("close", () => finish(true));
    request.on("error", () => finish(true)); // a reset ends a body whose length nobody told
  });
}
