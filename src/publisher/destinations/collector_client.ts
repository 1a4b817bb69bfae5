/**
 * POSTs to one URL, by `node:http`, which unlike `fetch` does the same on Bun, Deno and Node: it uses a proxy and
 * certificates when told to, and never those of the environment; it sends a body once only; and it tells a TLS fault
 * by its code.
 *
 * @module
 */
import http, { type ClientRequest, type IncomingMessage, type RequestOptions } from "node:http";
import https from "node:https";
import { ConfigurationError } from "../../errors.ts";
import { MAX_RESPONSE_BYTES } from "../../wire/rejections.ts";
import type { CollectorResponse } from "./collector_response.ts";

/** Variables of a process as they name proxies: `http_proxy`, `https_proxy`, `no_proxy`, in any case. */
export type ProxyEnv = Readonly<Record<string, string | undefined>>;

/** Certificates and a key, in PEM. */
export interface TlsMaterial {
  /** Who is trusted. Default: whom the runtime trusts. */
  readonly ca?: Buffer | undefined;
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
}

/** Options of {@link CollectorClient}. */
export interface CollectorClientOptions {
  /** How long one POST may take, connect to last byte of the response, in milliseconds. */
  readonly timeoutMs: number;
  /** Which proxies are used. Default: none, whatever the environment says. */
  readonly proxyEnv?: ProxyEnv | undefined;
  readonly tls?: TlsMaterial | undefined;
}

/** What is POSTed. */
export interface HttpPost {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** An agent of Node's with what its types do not have yet. */
type AgentOptions = https.AgentOptions & { readonly proxyEnv: ProxyEnv };

const NO_PROXIES =
  "collector.proxy: this runtime cannot use a proxy: take Bun 1.4, Deno 2.9, Node 22.21 or 24.5, or a later one";

/** Older runtimes pass over `proxyEnv`, and would go another way than they are told. */
function knowsProxies(agent: http.Agent): boolean {
  return Reflect.ownKeys(agent).some((key) => /proxyConfig/i.test(String(key)));
}

/** POSTs batches to one URL. */
export class CollectorClient {
  readonly #target: RequestOptions;
  readonly #transport: typeof http | typeof https;
  readonly #timeoutMs: number;

  /** @throws {ConfigurationError} there are proxies, and the runtime cannot use them */
  constructor(url: string, { timeoutMs, proxyEnv, tls = {} }: CollectorClientOptions) {
    const { protocol, hostname, port, pathname, search, host } = new URL(url);
    this.#transport = protocol === "https:" ? https : http;
    this.#timeoutMs = timeoutMs;
    // Certificates are checked whatever NODE_TLS_REJECT_UNAUTHORIZED in the environment says.
    const options: AgentOptions = {
      keepAlive: true,
      proxyEnv: proxyEnv ?? {},
      rejectUnauthorized: true,
      ...tls,
    };
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
  }

  /**
   * Sends a request and reads the beginning of the response. Whatever throws here is the transport's: no response
   * came, and the collector may or may not have the events. A redirect is a response, and is never followed.
   */
  async post({ headers, body }: HttpPost, stop: AbortSignal): Promise<CollectorResponse> {
    stop.throwIfAborted(); // the listener below would not be told
    const request = this.#transport.request({
      ...this.#target,
      headers: { ...this.#target.headers, ...headers, "Content-Length": body.length },
    });
    const cut = (): void => void request.destroy(stop.reason as Error);
    // Not AbortSignal.timeout, which lives on until the timeout is over: at 200 requests a second that took 10 MB.
    const timer = setTimeout(
      () => request.destroy(new Error(`no answer within ${this.#timeoutMs} ms`)),
      this.#timeoutMs,
    );
    stop.addEventListener("abort", cut, { once: true });
    try {
      return await read(await responseOf(request, body), request);
    } finally {
      clearTimeout(timer);
      stop.removeEventListener("abort", cut);
    }
  }
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

async function read(response: IncomingMessage, request: ClientRequest): Promise<CollectorResponse> {
  const { headers } = response;
  return {
    status: response.statusCode ?? 0,
    contentType: headers["content-type"] ?? "",
    contentEncoding: headers["content-encoding"] ?? "",
    retryAfter: headers["retry-after"] ?? null,
    ...(await readBeginning(response, request)),
  };
}

/**
 * Reads at most so much of the body and lets go of the rest. One that is cut, hangs or is too long ends early: what it
 * means is not decided here. By listeners, as `for await` takes a third more CPU for the whole request under Bun.
 */
function readBeginning(
  response: IncomingMessage,
  request: ClientRequest,
): Promise<{ text: string; isCut: boolean }> {
  return new Promise((resolve) => {
    const chunks: Uint8Array[] = [];
    let size = 0;
    const finish = (isCut: boolean): void => {
      const text = new TextDecoder().decode(Buffer.concat(chunks).subarray(0, MAX_RESPONSE_BYTES));
      resolve({ text, isCut });
    };
    response.on("data", (chunk: Uint8Array) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size <= MAX_RESPONSE_BYTES) return;
      finish(true);
      response.destroy();
    });
    response.on("end", () => finish(false));
    response.on("error", () => finish(true));
    response.on("close", () => finish(true));
    request.on("error", () => finish(true)); // a reset ends a body whose length nobody told
  });
}
