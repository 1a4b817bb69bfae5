/**
 * The collector: batches are framed, signed, gzipped and POSTed.
 *
 * @module
 */
import { BATCH_FORMATS, type BatchFormat, frame, MAX_FRAME_BYTES } from "./batch_format.ts";
import { outcomeOf, type SentIds } from "./collector_answer.ts";
import { CollectorClient } from "./collector_client.ts";
import type { Delivery, Destination, LeasedBatch } from "./destination.ts";
import { formatEventIds } from "./event_ids.ts";
import type { Outcome } from "./outcome.ts";
import { makePayload, type Payload, type SigningKey } from "./payload.ts";
import { Scratch } from "./scratch.ts";

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
      return { kind: "unavailable", reason, isTransport: true };
    }
  }

  /** Connections are the runtime's: they end by themselves. */
  async close(): Promise<void> {}
}

/** Bun gives a message and a code, Node a bare "fetch failed" with the reason in its cause, Deno only text. */
function describeTransportError(error: unknown): string {
  const { message, code, cause } = error as Error & { code?: unknown };
  const reason = cause instanceof Error ? `${message}: ${cause.message}` : message;
  return typeof code === "string" && !reason.includes(code) ? `${reason} (${code})` : reason;
}
