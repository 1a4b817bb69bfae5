/**
 * Talking to the collector.
 *
 * @module
 */
import { MAX_ANSWER_BYTES, MAX_REFUSALS_BYTES } from "../limits.ts";
import { type CollectorAnswer, UNPROCESSABLE } from "./collector_answer.ts";
import { EVENT_IDS_HEADER } from "./event_ids.ts";
import type { Payload } from "./payload.ts";

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
