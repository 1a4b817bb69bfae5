/**
 * One lease, read, framed, signed, gzipped and POSTed.
 *
 * @module
 */
import { MAX_SPAN_LINKS } from "../limits.ts";
import type { PublisherCounts } from "../metrics/publisher_counts.ts";
import type { StatsdClient } from "../metrics/statsd.ts";
import type { Lease, LeaseTable } from "../store/lease_table.ts";
import { type BatchFormat, frame, MAX_FRAME_BYTES } from "./batch.ts";
import type { CollectorClient } from "./collector_client.ts";
import { formatEventIds } from "./event_ids.ts";
import { logDelivered } from "./log.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";
import { makePayload, type Payload, type SigningKey } from "./payload.ts";
import { type PublishTracing, withPublishSpan } from "./publish_span.ts";
import { Scratch } from "./scratch.ts";

/** What a sender works with. */
export interface SenderParts {
  readonly leases: LeaseTable;
  /** The queue file's UUID. */
  readonly uuid: string;
  readonly format: BatchFormat;
  readonly key: SigningKey;
  /** 1 to 9. */
  readonly gzipLevel: number;
  readonly client: CollectorClient;
  readonly metrics: StatsdClient;
  /** Resolves when what was committed survives a power cut; undefined: events may be sent before they do. */
  readonly sync?: (() => Promise<void>) | undefined;
  readonly counts: PublisherCounts;
  /** Where each request is to be told of; undefined: nowhere. */
  readonly tracing?: { readonly queue: string; readonly api: PublishTracing } | undefined;
}

/** What became of a lease's events, how many they were, and the size of their body before compression. */
export interface Sent {
  readonly outcome: Outcome;
  readonly count: number;
  readonly sizeBytes: number;
  /** How long the collector took to answer. */
  readonly durationMs: number;
}

/** Sends leases to the collector; what to do about the outcome is the publisher's decision. */
export class Sender {
  readonly #parts: SenderParts;
  readonly #scratch = new Scratch();

  constructor(parts: SenderParts) {
    this.#parts = parts;
  }

  /** @param stop ends the request when it aborts @throws {EventStorageError} the events cannot be read, or not be synced */
  async send(lease: Lease, stop: AbortSignal): Promise<Sent> {
    const { leases, metrics, counts } = this.#parts;
    const { count, joined, putAtMs } = leases.read(lease);
    // Rows that someone deleted by hand leave a lease without events: there is nothing to send.
    if (count === 0) return { outcome: { kind: "accepted" }, count, sizeBytes: 0, durationMs: 0 };
    const { payload, sizeBytes } = await this.#prepare(count, joined);
    await this.#parts.sync?.();
    const startedAtMs = performance.now();
    const outcome = await this.#traced(lease, { count, sizeBytes }, () => this.#post(lease, payload, stop));
    const durationMs = performance.now() - startedAtMs;
    metrics.timer("post", durationMs);
    counts.requested(outcome.kind, { count, sizeBytes, durationMs });
    if (outcome.kind === "accepted") {
      metrics.counter("sent", count);
      counts.accepted(putAtMs, count);
      logDelivered(lease, count, durationMs);
    }
    return { outcome, count, sizeBytes, durationMs };
  }

  async #prepare(count: number, joined: Uint8Array): Promise<{ payload: Payload; sizeBytes: number }> {
    const { format, key, gzipLevel } = this.#parts;
    const scratch = this.#scratch.take(joined.length + MAX_FRAME_BYTES);
    const body = frame(format, { count, joined }, () => scratch);
    const payload = await makePayload(body, key, gzipLevel);
    this.#scratch.give(scratch);
    return { payload, sizeBytes: body.length };
  }

  /** Runs the request within a span, where that is asked for. @throws {EventStorageError} before the request */
  #traced(
    lease: Lease,
    batch: { readonly count: number; readonly sizeBytes: number },
    request: () => Promise<Outcome>,
  ): Promise<Outcome> {
    const { leases, tracing } = this.#parts;
    if (tracing === undefined) return request();
    const { queue, api } = tracing;
    const traces = leases.traces(lease, MAX_SPAN_LINKS);
    return withPublishSpan(api, { ...batch, queue, attempts: lease.attempts, traces }, request);
  }

  async #post(lease: Lease, payload: Payload, stop: AbortSignal): Promise<Outcome> {
    const { uuid, client, metrics, counts } = this.#parts;
    const eventIds = formatEventIds(uuid, lease.firstId, lease.lastId);
    try {
      const outcome = outcomeOf(await client.post(payload, eventIds, stop));
      if (outcome.kind !== "accepted") metrics.counter("error.http");
      return outcome;
    } catch (error) {
      metrics.counter("error.io");
      if (!stop.aborted) counts.transportErrors++;
      const reason = stop.aborted
        ? "the grace time of the stop is over"
        : `POST ${client.url}: ${describeTransportError(error)}`;
      return { kind: "unavailable", reason };
    }
  }
}

/** Bun gives a message and a code, Node a bare "fetch failed" with the reason in its cause, Deno only text. */
function describeTransportError(error: unknown): string {
  const { message, code, cause } = error as Error & { code?: unknown };
  const reason = cause instanceof Error ? `${message}: ${cause.message}` : message;
  return typeof code === "string" && !reason.includes(code) ? `${reason} (${code})` : reason;
}
