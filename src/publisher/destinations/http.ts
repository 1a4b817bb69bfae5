/**
 * Services that take events over HTTP: a batch is written, compressed and POSTed, and the response is read. What differs
 * between services is a protocol's.
 */
import { unescape as unescapePercents } from "node:querystring";
import { promisify } from "node:util";
import zlib from "node:zlib";
import { VERSION } from "../../version.ts";
import { type IdRange, rangesOf } from "../../wire/event_ids.ts";
import type { Delivery, Destination, LeasedBatch, Outcome } from "./destination.ts";
import { HttpClient, type HttpClientOptions, type HttpPost } from "./http_client.ts";
import { type HttpResponse, isUnavailable } from "./http_response.ts";

/** Which events are sent. */
export interface SentEvents {
  readonly queueUuid: string;
  readonly ranges: readonly IdRange[];
  readonly count: number;
  /** The event, where it is only one. */
  readonly single: Uint8Array | undefined;
}

/** Headers by their names. */
export type HttpHeaders = Readonly<Record<string, string>>;

/** How one kind of service accepts events. */
export interface HttpProtocol {
  /** As of a {@link Destination}. */
  readonly emptyBatchBytes: number;
  /** As of a {@link Destination}. */
  readonly eventOverheadBytes?: number;
  /** How much of a response is read, in bytes. Default: as much as a collector says. */
  readonly maxResponseBytes?: number;
  /** Those of every request. */
  readonly headers: HttpHeaders;
  /** Texts that no log and no dead letter may show if the service sends them back. Default: none. */
  readonly secrets?: readonly string[];
  /** Writes the body. A protocol that knows its size beforehand takes a buffer of `allocate`, which may be longer. */
  write(batch: LeasedBatch, allocate: (bytes: number) => Buffer): Uint8Array;
  /**
   * Signs a body before it is compressed. The function that is returned makes the headers of one attempt. The body may
   * be overwritten by then, if the request is compressed.
   */
  sign(body: Uint8Array, sent: SentEvents): () => HttpHeaders;
  /** What a response means. */
  outcomeOf(response: HttpResponse, sent: SentEvents): Outcome;
  /** As of a {@link Destination}. */
  readonly risks?: readonly string[];
}

/** How a service is reached, and how bodies are compressed. */
export interface HttpLocation extends HttpClientOptions {
  readonly url: string;
  /** The part that people see. Default: all of it. */
  readonly shownUrl?: string | undefined;
  /** 1 to 9; undefined: bodies are not compressed. */
  readonly gzipLevel: number | undefined;
}

/** Takes batches to a service over HTTP. */
export class HttpDestination implements Destination {
  readonly url: string;
  readonly timeoutMs: number;
  readonly emptyBatchBytes: number;
  readonly eventOverheadBytes: number | undefined;
  readonly #protocol: HttpProtocol;
  readonly #client: HttpClient;
  readonly #encoder: Encoder;
  readonly #scratch = new Scratch();
  readonly #secrets: readonly string[];

  constructor(protocol: HttpProtocol, { url, shownUrl = url, gzipLevel, ...client }: HttpLocation) {
    this.url = shownUrl;
    this.timeoutMs = client.timeoutMs;
    this.emptyBatchBytes = protocol.emptyBatchBytes;
    this.eventOverheadBytes = protocol.eventOverheadBytes;
    this.#protocol = protocol;
    this.#client = new HttpClient(url, { ...client, maxResponseBytes: protocol.maxResponseBytes });
    this.#encoder = new Encoder(gzipLevel);
    const secrets = [
      ...(protocol.secrets ?? []),
      ...Object.values(client.proxyEnv ?? {}).flatMap(passwordOf),
    ];
    this.#secrets = secrets
      .filter(({ length }) => length >= MIN_REDACTED_CHARS)
      .sort((one, other) => other.length - one.length); // one may be a part of another
  }

  async prepare(batch: LeasedBatch): Promise<Delivery> {
    const scratch = this.#scratch.lend();
    const body = this.#protocol.write(batch, this.#encoder.copies ? scratch.take : Buffer.allocUnsafeSlow);
    const sent = sentEvents(batch);
    if (batch.count > 1) release(batch.joined); // a single event may be needed again, to judge its rejection
    const sign = this.#protocol.sign(body, sent);
    const { bytes, encoding } = await this.#encoder.encode(body);
    scratch.giveBack();
    const headers = {
      ...COMMON_HEADERS,
      Date: new Date().toUTCString(),
      ...(encoding && { "Content-Encoding": encoding }),
      ...this.#protocol.headers,
    };
    const request = { sent, encoding, post: () => ({ headers: { ...headers, ...sign() }, body: bytes }) };
    return { sizeBytes: body.length, send: (stop) => this.#send(request, stop) };
  }

  get risks(): readonly string[] {
    return this.#protocol.risks ?? [];
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  async #send({ post, sent, encoding }: PreparedRequest, stop: AbortSignal): Promise<Outcome> {
    try {
      const response = await this.#client.post(post(), stop);
      if (this.#encoder.isRejected(encoding, response)) return { kind: "unavailable", reason: NO_ZSTD };
      this.#encoder.learn(response);
      return this.#protocol.outcomeOf(redact(response, this.#secrets), sent);
    } catch (error) {
      return transportFailure(this.url, error);
    }
  }
}

/** The shortest secret that is looked for in responses, in characters: a shorter one may be a part of any word. */
const MIN_REDACTED_CHARS = 6;

/** The password of a proxy's URL, and how a request says it. */
function passwordOf(proxy: string | undefined): string[] {
  if (proxy === undefined || !URL.canParse(proxy)) return [];
  const { username, password } = new URL(proxy);
  const login = unescapePercents(`${username}:${password}`); // unlike decodeURIComponent it never throws
  return [unescapePercents(password), Buffer.from(login).toString("base64")];
}

function redact(response: HttpResponse, secrets: readonly string[]): HttpResponse {
  const text = secrets.reduce((rest, secret) => rest.replaceAll(secret, "[redacted]"), response.text);
  return { ...response, text };
}

/** A request, except the headers of one attempt. */
interface PreparedRequest {
  readonly sent: SentEvents;
  readonly encoding: Encoding | undefined;
  readonly post: () => HttpPost;
}

const COMMON_HEADERS: HttpHeaders = {
  Accept: "application/json", // or frameworks such as WebOb explain a 400 in HTML
  "Accept-Encoding": "identity",
  "User-Agent": `eventspool/${VERSION}`,
};

/** Not the batch: its bytes would live as long as the request. Those of one event are few. */
function sentEvents(batch: LeasedBatch): SentEvents {
  const { queueUuid, count, joined } = batch;
  return { queueUuid, ranges: idsOf(batch), count, single: count === 1 ? joined : undefined };
}

/** The ids of a batch, event by event: between the first and the last some are missing where rows were deleted by hand. */
function idsOf({ firstId, lastId, count, events }: LeasedBatch): readonly IdRange[] {
  if (lastId - firstId + 1 === count) return [{ firstId, lastId }];
  return rangesOf(events().map(({ id }) => id));
}

const gzip = promisify(zlib.gzip);
const zstd = zlib.zstdCompress && promisify(zlib.zstdCompress); // undefined before Node 22.15

/** Most batches fit in one chunk: with zlib's 16 KiB, joining them cost 5 % of a drain. */
const CHUNK_BYTES = 262_144;

/**
 * Level 1. Measured with events of 336 bytes: a full batch shrinks to 23 % in 1.8 ms; gzip's level 1 takes as long for
 * 35 %, its level 6 three times as long for 24 %. A batch of one event shrinks to 81 %, by gzip to 99 %.
 */
const ZSTD_OPTIONS = {
  chunkSize: CHUNK_BYTES,
  params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 },
};

const UNSUPPORTED_MEDIA_TYPE = 415;

const NO_ZSTD = "the destination rejected zstd (415), which it said it takes: gzip from now on";

type Encoding = "gzip" | "zstd";

/** Compresses bodies in another thread on Bun and Node: by zstd once the server says that it takes it, else by gzip. */
class Encoder {
  readonly #gzipLevel: number | undefined;
  #encoding: Encoding = "gzip";
  #mayBeZstd = zstd !== undefined;

  constructor(gzipLevel: number | undefined) {
    this.#gzipLevel = gzipLevel;
  }

  /** Whether its result is never the body itself. */
  get copies(): boolean {
    return this.#gzipLevel !== undefined;
  }

  async encode(body: Uint8Array): Promise<{ bytes: Uint8Array; encoding: Encoding | undefined }> {
    const [level, encoding] = [this.#gzipLevel, this.#encoding];
    if (level === undefined) return { bytes: body, encoding: undefined };
    if (encoding === "zstd") return { bytes: await zstd!(body, ZSTD_OPTIONS), encoding };
    return { bytes: await gzip(body, { level, chunkSize: CHUNK_BYTES }), encoding };
  }

  /** `Accept-Encoding` in a response names the encodings that the server accepts (RFC 9110, 12.5.3). */
  learn({ acceptEncoding }: HttpResponse): void {
    if (acceptEncoding === undefined) return;
    this.#encoding = this.#mayBeZstd && ACCEPTS_ZSTD.test(acceptEncoding) ? "zstd" : "gzip";
  }

  /** Whether a server behind the same URL rejected zstd although another one accepts it: then none gets it any more. */
  isRejected(encoding: Encoding | undefined, { status }: HttpResponse): boolean {
    if (encoding !== "zstd" || status !== UNSUPPORTED_MEDIA_TYPE) return false;
    this.#mayBeZstd = false;
    this.#encoding = "gzip";
    return true;
  }
}

const ACCEPTS_ZSTD = /(?:^|,)\s*zstd\s*(?:,|$|;\s*q=(?:1|0\.\d*[1-9]))/i;

/** The errors of Bun, Deno and Node if no connection was made. */
const CANNOT_CONNECT =
  /ConnectionRefused|FailedToOpenSocket|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|client error \(Connect\)/;

function transportFailure(url: string, error: unknown): Outcome {
  const reason = `POST ${url}: ${describeTransportError(error)}`;
  if (isMisconfiguration(error)) return { kind: "misconfigured", reason };
  const isUnsent = CANNOT_CONNECT.test(reason);
  return { kind: "unavailable", reason, isTransport: true, ...(isUnsent && { isUnsent }) };
}

/** The message, with the code or the reason of its cause if it does not contain them. */
function describeTransportError(error: unknown): string {
  const { message, code, cause } = error as Error & { code?: unknown };
  const reason = (cause instanceof Error ? `${message}: ${cause.message}` : message).trim();
  return typeof code === "string" && !reason.includes(code) ? `${reason} (${code})` : reason;
}

/**
 * TLS that fails does not pass by itself: a certificate that is not trusted, or that the collector asks for, or no TLS
 * at the other end.
 */
const TLS_CODES =
  /^(?:ERR_SSL_|ERR_TLS_|ERR_OSSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|EPROTO$)/;

/** Nor does a proxy that does not connect us for a reason of ours, such as a 407. */
function isMisconfiguration(error: unknown): boolean {
  const { code, statusCode } = error as { code?: unknown; statusCode?: number };
  if (code === "ERR_PROXY_TUNNEL") return statusCode !== undefined && !isUnavailable(statusCode);
  return typeof code === "string" && TLS_CODES.test(code);
}

/**
 * Frees the memory of bytes that nobody reads again. Garbage collectors see the memory of an addon's buffers too late:
 * a drain under Bun took 99 MB instead of 133 with 4 requests in flight, and 123 instead of 180 with 32, at the same speed.
 */
function release({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0); // not a part of a pool
}

/** What a buffer holds at least, in bytes: a batch of the usual size. */
const MIN_BYTES = 524_288;

/**
 * Lends buffers. A new one for each batch made a drain a tenth slower and its memory 20 MB larger: half a megabyte of
 * fresh pages each time, which the garbage collector sees too late.
 */
class Scratch {
  readonly #free: Buffer[] = [];

  /** `take` returns a buffer of so many bytes, with old content, until it is given back. */
  lend(): { take(bytes: number): Buffer; giveBack(): void } {
    let lent: Buffer | undefined;
    return {
      take: (bytes) => {
        const free = this.#free.pop();
        lent =
          free !== undefined && free.length >= bytes
            ? free
            : Buffer.allocUnsafeSlow(Math.max(MIN_BYTES, bytes));
        return lent;
      },
      giveBack: () => {
        if (lent !== undefined) this.#free.push(lent);
      },
    };
  }
}
