/**
 * The collector: batches are framed, signed, gzipped and POSTed.
 *
 * @module
 */
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { VERSION } from "../../version.ts";
import { BATCH_FORMATS, type BatchFormat, frame, MAX_FRAME_BYTES } from "../../wire/batch_format.ts";
import { EVENT_IDS_HEADER, formatEventIds, type IdRange, rangesOf } from "../../wire/event_ids.ts";
import {
  EVENT_IDS_SIGNATURE_HEADER,
  formatSignature,
  SIGNATURE_HEADER,
  type SigningKey,
  signBody,
  signEventIds,
} from "../../wire/signature.ts";
import { CollectorClient, type CollectorClientOptions, type HttpPost } from "./collector_client.ts";
import { isUnavailable, outcomeOf, type SentEvents } from "./collector_response.ts";
import type { Delivery, Destination, LeasedBatch, Outcome } from "./destination.ts";

const gzipAsync = promisify(gzip);

/** Most batches fit in one chunk: with zlib's 16 KiB, joining them cost 5 % of a drain. */
const CHUNK_BYTES = 262_144;

/** The longest `Event-Ids` that is sent, in bytes: servers take headers of 8 KiB. Where hundreds of rows were deleted by hand, they go unnamed. */
const MAX_EVENT_IDS_BYTES = 4_096;

/** How a collector is reached. */
export interface CollectorLocation extends CollectorClientOptions {
  readonly url: string;
  readonly version: "2" | "2j";
  readonly key: SigningKey;
  /** 1 to 9. */
  readonly gzipLevel: number;
}

/** Takes batches to an HTTP collector, such as `bun run collector`. */
export class CollectorDestination implements Destination {
  readonly url: string;
  readonly timeoutMs: number;
  readonly emptyBatchBytes: number;
  readonly #client: CollectorClient;
  readonly #format: BatchFormat;
  readonly #key: SigningKey;
  readonly #gzipLevel: number;
  readonly #scratch = new Scratch();
  #isAccounted = false;

  constructor({ url, version, key, gzipLevel, ...client }: CollectorLocation) {
    this.url = url;
    this.timeoutMs = client.timeoutMs;
    this.#client = new CollectorClient(url, client);
    this.#format = BATCH_FORMATS[version];
    this.emptyBatchBytes = this.#format.baseBytes;
    this.#key = key;
    this.#gzipLevel = gzipLevel;
  }

  async prepare(batch: LeasedBatch): Promise<Delivery> {
    const scratch = this.#scratch.take(batch.joined.length + MAX_FRAME_BYTES);
    const body = frame(this.#format, batch, () => scratch);
    const { queueUuid, count, joined } = batch;
    if (count > 1) release(joined); // a single event may be needed again, to judge its rejection
    const { mac, ...post } = await this.#post(body);
    this.#scratch.give(scratch);
    const sent: SentEvents = {
      ranges: idsOf(batch),
      count,
      single: count === 1 ? joined : undefined,
    };
    const eventIds = formatEventIds(queueUuid, sent.ranges);
    return {
      sizeBytes: body.length,
      send: (stop) => this.#send(this.#withIds(post, { eventIds, bodyMac: mac }), sent, stop),
    };
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  /** Signs and compresses a batch's body, the latter in another thread on Bun and Node. */
  async #post(body: Uint8Array): Promise<HttpPost & { readonly mac: string }> {
    const signature = signBody(body, this.#key);
    return {
      mac: signature.mac,
      headers: {
        Accept: "application/json", // or frameworks such as WebOb explain a 400 in HTML
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
        Date: new Date().toUTCString(),
        "User-Agent": `eventspool/${VERSION}`,
        [SIGNATURE_HEADER]: formatSignature(signature),
      },
      body: await gzipAsync(body, { level: this.#gzipLevel, chunkSize: CHUNK_BYTES }),
    };
  }

  /** Names the events. The signature has the time in it, and so is made anew at each attempt. */
  #withIds(post: HttpPost, ids: { readonly eventIds: string; readonly bodyMac: string }): HttpPost {
    if (ids.eventIds.length > MAX_EVENT_IDS_BYTES) return post;
    const headers = {
      ...post.headers,
      [EVENT_IDS_HEADER]: ids.eventIds,
      [EVENT_IDS_SIGNATURE_HEADER]: signEventIds(ids, this.#key.secret, Date.now()),
    };
    return { headers, body: post.body };
  }

  async #send(post: HttpPost, sent: SentEvents, stop: AbortSignal): Promise<Outcome> {
    try {
      const response = await this.#client.post(post, stop);
      const outcome = outcomeOf(response, { ...sent, isAccounted: this.#isAccounted });
      this.#isAccounted ||= "duplicates" in outcome; // as ours says of each batch
      return outcome;
    } catch (error) {
      const reason = `POST ${this.url}: ${describeTransportError(error)}`;
      if (isMisconfiguration(error)) return { kind: "misconfigured", reason };
      return {
        kind: "unavailable",
        reason,
        isTransport: true,
        ...(CANNOT_CONNECT.test(reason) && { isUnsent: true }),
      };
    }
  }
}

/** What Bun, Deno and Node say when no connection could be made. */
const CANNOT_CONNECT =
  /ConnectionRefused|FailedToOpenSocket|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|client error \(Connect\)/;

/** The ids of a batch, event by event: between the first and the last some are missing where rows were deleted by hand. */
function idsOf({ firstId, lastId, count, events }: LeasedBatch): readonly IdRange[] {
  if (lastId - firstId + 1 === count) return [{ firstId, lastId }];
  return rangesOf(events().map(({ id }) => id));
}

/** The message, and what it does not say: the code, or the reason in its cause. */
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
 * Gives out buffers and takes them back. A new one for each batch made a drain a tenth slower and its memory
 * 20 MB larger: half a megabyte of fresh pages each time, which the garbage collector sees too late.
 */
class Scratch {
  readonly #free: Buffer[] = [];

  /** A buffer of `bytes` bytes whose content is left over from before. */
  take(bytes: number): Buffer {
    const free = this.#free.pop();
    return free !== undefined && free.length >= bytes
      ? free
      : Buffer.allocUnsafeSlow(Math.max(MIN_BYTES, bytes));
  }

  /** Takes a buffer back; nobody may read from it any more. */
  give(buffer: Buffer): void {
    this.#free.push(buffer);
  }
}
