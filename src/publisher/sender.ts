/**
 * One lease, read and taken to the destination.
 *
 * @module
 */

import type { StatsdClient } from "../metrics/statsd.ts";
import type { Lease, LeaseTable } from "../storage/leases.ts";
import type { DurableHead } from "../storage/wal_sync.ts";
import type { PublisherCounts } from "./counts.ts";
import type { Delivery, Destination, Outcome } from "./destinations/destination.ts";
import { logDelivered } from "./log.ts";
import { type PublishTracing, withPublishSpan } from "./tracing.ts";

/** How many spans the span of a request is linked to, at most: what OpenTelemetry's SDKs keep of them by default. */
const MAX_SPAN_LINKS = 128;

/** What a sender works with. */
export interface SenderDependencies {
  readonly leases: LeaseTable;
  /** The queue's name. */
  readonly queue: string;
  readonly destination: Destination;
  readonly metrics: StatsdClient;
  /** What is sent must survive a power cut: see there. */
  readonly durable: Pick<DurableHead, "reach" | "close">;
  readonly counts: PublisherCounts;
  /** OpenTelemetry's API, for a span of each request; undefined: none. */
  readonly tracing?: PublishTracing | undefined;
}

/** A lease that was sent, and the outcome. */
export interface Sent {
  readonly outcome: Outcome;
  /** The UUID that named them. */
  readonly uuid: string;
  readonly count: number;
  /** How many of them are accepted. */
  readonly acceptedCount: number;
  readonly sizeBytes: number;
  /** How long the destination took to answer. */
  readonly durationMs: number;
}

/** Sends leases to the destination; what follows from the outcome is the policy's decision. */
export class Sender {
  readonly #dependencies: SenderDependencies;

  constructor(dependencies: SenderDependencies) {
    this.#dependencies = dependencies;
  }

  /** @param stop ends the delivery when it aborts @throws {EventStorageError} the events cannot be read, or not be synced */
  async send(lease: Lease, stop: AbortSignal): Promise<Sent> {
    const { leases, queue, destination, durable } = this.#dependencies;
    const { firstId, lastId } = lease;
    const { putAtMs, ...events } = leases.read(lease);
    const { count } = events;
    const uuid = leases.epochs.uuidAt(firstId);
    // Rows that someone deleted by hand leave a lease without events: there is nothing to send.
    if (count === 0)
      return { outcome: { kind: "accepted" }, uuid, count, acceptedCount: 0, sizeBytes: 0, durationMs: 0 };
    const readEvents = () => leases.readEach(lease);
    const delivery = await destination.prepare({
      queue,
      queueUuid: uuid,
      firstId,
      lastId,
      ...events,
      events: readEvents,
    });
    const { sizeBytes } = delivery;
    await durable.reach(lastId);
    const startedAtMs = performance.now();
    const outcome = await this.#traced(lease, { count, sizeBytes }, () => attempt(delivery, stop));
    const durationMs = performance.now() - startedAtMs;
    const sent = { outcome, uuid, count, acceptedCount: acceptedOf(outcome, count), sizeBytes, durationMs };
    if (sizeBytes > 0) this.#count(lease, sent, { putAtMs, stop }); // else none of its events was to be sent
    return sent;
  }

  /** Closes what it sends with. Nothing is in flight then. */
  async close(): Promise<void> {
    const { metrics, durable, destination } = this.#dependencies;
    await metrics.close();
    await durable.close();
    await destination.close();
  }

  #count(
    lease: Lease,
    { outcome, count, acceptedCount, sizeBytes, durationMs }: Sent,
    { putAtMs, stop }: { putAtMs: readonly number[]; stop: AbortSignal },
  ): void {
    const { metrics, counts } = this.#dependencies;
    metrics.timer("post", durationMs);
    counts.requested(outcome.kind, { count, sizeBytes, durationMs });
    const isTransport = outcome.kind === "unavailable" && outcome.isTransport === true;
    if (outcome.kind !== "accepted") metrics.counter(isTransport ? "error.io" : "error.http");
    if (isTransport && !stop.aborted) counts.transportErrors++;
    if (acceptedCount === 0) return;
    metrics.counter("sent", acceptedCount);
    counts.accepted(putAtMs, acceptedCount);
    logDelivered(lease, acceptedCount, durationMs);
  }

  /** Runs the request within a span, where that is asked for. @throws {EventStorageError} before the request */
  #traced(
    lease: Lease,
    batch: { readonly count: number; readonly sizeBytes: number },
    request: () => Promise<Outcome>,
  ): Promise<Outcome> {
    const { leases, queue, tracing } = this.#dependencies;
    if (tracing === undefined) return request();
    const traces = leases.traces(lease, MAX_SPAN_LINKS);
    return withPublishSpan(tracing, { ...batch, queue, attempts: lease.attempts, traces }, request);
  }
}

async function attempt(delivery: Delivery, stop: AbortSignal): Promise<Outcome> {
  const outcome = await delivery.send(stop);
  if (!stop.aborted || outcome.kind !== "unavailable") return outcome;
  return { ...outcome, reason: "the grace time of the stop is over" };
}

function acceptedOf(outcome: Outcome, count: number): number {
  if (outcome.kind === "accepted") return count - (outcome.dropped ?? 0);
  if (outcome.kind !== "partial") return 0;
  return count - outcome.rejected.length - outcome.undelivered.length - (outcome.dropped ?? 0);
}
