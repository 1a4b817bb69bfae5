/**
 * The collector: batches are framed, signed, gzipped and POSTed.
 *
 * @module
 */

import { MAX_ANSWER_BYTES, MAX_REFUSALS_BYTES } from "../../limits.ts";
import { BATCH_FORMATS, type BatchFormat, frame, MAX_FRAME_BYTES } from "../../wire/batch_format.ts";
import { EVENT_IDS_HEADER, formatEventIds } from "../../wire/event_ids.ts";
import { type CollectorAnswer, outcomeOf, type SentIds, UNPROCESSABLE } from "./collector_response.ts";
import type { Delivery, Destination, LeasedBatch, Outcome } from "./destination.ts";
import { makePayload, type Payload, type SigningKey } from "./payload.ts";

/** How a collector is reached. */
export interface CollectorPlace {
  readonly url: string;
  readonly version: "2" | "2j";
  /** How long one POST may take, connect to last byte of the answer, in milliseconds. */
  readonly timeoutMs: number;
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

  constructor({ url, version, timeoutMs, key, gzipLevel }: CollectorPlace) {
    this.url = url;
    this.timeoutMs = timeoutMs;
    this.#client = new CollectorClient(url, timeoutMs);
    this.#format = BATCH_FORMATS[version];
    this.emptyBatchBytes = this.#format.baseBytes;
    this.#key = key;
    this.#gzipLevel = gzipLevel;
  }

  async prepare(batch: LeasedBatch): Promise<Delivery> {
    const scratch = this.#scratch.take(batch.joined.length + MAX_FRAME_BYTES);
    const body = frame(this.#format, batch, () => scratch);
    const payload = await makePayload(body, this.#key, this.#gzipLevel);
    this.#scratch.give(scratch);
    const { queueUuid, firstId, lastId, count } = batch; // not the batch: its bytes would live as long as the request
    const sent = { firstId, lastId, count };
    const eventIds = formatEventIds(queueUuid, firstId, lastId);
    return { sizeBytes: body.length, send: (stop) => this.#post(payload, eventIds, { sent, stop }) };
  }

  async #post(
    payload: Payload,
    eventIds: string,
    { sent, stop }: { sent: SentIds; stop: AbortSignal },
  ): Promise<Outcome> {
    try {
      return outcomeOf(await this.#client.post(payload, eventIds, stop), sent);
    } catch (error) {
      const reason = `POST ${this.url}: ${describeTransportError(error)}`;
      return {
        kind: "unavailable",
        reason,
        isTransport: true,
        ...(CANNOT_CONNECT.test(reason) && { isUnsent: true }),
      };
    }
  }

  /** Connections are the runtime's: they end by themselves. */
  async close(): Promise<void> {}
}

/** What Bun, Deno and Node say when no connection could be made. */
const CANNOT_CONNECT =
  /ConnectionRefused|FailedToOpenSocket|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|client error \(Connect\)/;

/** Bun gives a message and a code, Node a bare "fetch failed" with the reason in its cause, Deno only text. */
function describeTransportError(error: unknown): string {
  const { message, code, cause } = error as Error & { code?: unknown };
  const reason = cause instanceof Error ? `${message}: ${cause.message}` : message;
  return typeof code === "string" && !reason.includes(code) ? `${reason} (${code})` : reason;
}

/** POSTs batches to one URL. */
export class CollectorClient {
  /** Where batches are sent. */
  readonly url: string;
  readonly #timeoutMs: number;

  /** @param timeoutMs how long one POST may take, connect to last byte of the answer */
  constructor(url: string, timeoutMs: number) {
    this.url = url;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Sends a payload and reads the beginning of the answer. Whatever throws here is the transport's:
   * no answer came, and the collector may or may not have the events.
   */
  async post(payload: Payload, eventIds: string, stop: AbortSignal): Promise<CollectorAnswer> {
    stop.throwIfAborted(); // the listener below would not be told
    // By hand and not by AbortSignal.any and .timeout, which live on until the timeout is over: the
    // memory of a publisher with 200 requests a second grew by 10 MB, and stays flat like this.
    const abort = new AbortController();
    const cut = (): void => abort.abort(stop.reason);
    const timer = setTimeout(
      () => abort.abort(new Error(`no answer within ${this.#timeoutMs} ms`)),
      this.#timeoutMs,
    );
    stop.addEventListener("abort", cut, { once: true });
    try {
      return await this.#post(payload, eventIds, abort.signal);
    } finally {
      clearTimeout(timer);
      stop.removeEventListener("abort", cut);
    }
  }

  async #post(payload: Payload, eventIds: string, signal: AbortSignal): Promise<CollectorAnswer> {
    const response = await fetch(this.url, {
      method: "POST",
      headers: { ...payload.headers, [EVENT_IDS_HEADER]: eventIds },
      // A Blob, since Deno sends any other body a second time, unasked, when a kept-alive connection dies.
      body: new Blob([payload.body]),
      // A redirect is an answer of a wrong URL: following one has been seen to "deliver" to a login page.
      redirect: "manual",
      signal,
    });
    return {
      status: response.status,
      retryAfter: response.headers.get("Retry-After"),
      // Who names the events at fault says more than can be kept of an answer.
      text: await readBeginning(
        response,
        response.status === UNPROCESSABLE ? MAX_REFUSALS_BYTES : MAX_ANSWER_BYTES,
      ),
    };
  }
}

/**
 * Reads at most `maxBytes` of the body and lets go of the rest. An answer that is cut or hangs
 * here ends early: its status has said what becomes of the events, the text is for people.
 */
async function readBeginning({ body }: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of body ?? []) {
      chunks.push(chunk);
      size += chunk.length;
      if (size >= maxBytes) break; // leaving the loop cancels the body
    }
  } catch {
    // what came before stays
  }
  return new TextDecoder().decode(Buffer.concat(chunks).subarray(0, maxBytes));
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
