/** Sending one lease: read its events, prepare the request, send it, count the outcome. */
import type { StatsdClient } from "../metrics/statsd.ts";
import type { Lease, LeaseTable } from "../storage/leases.ts";
import type { DurableEvents } from "../storage/wal.ts";
import type { PublisherCounts } from "./counts.ts";
import type { Delivery, Destination, Outcome } from "./destinations/destination.ts";
import { logDelivered } from "./log.ts";
import { type PublishTracing, withPublishSpan } from "./tracing.ts";
import { MAX_TIMEOUT_MS } from "./waiting.ts";

/** The most links of a request's span: OpenTelemetry's SDKs keep as many by default. */
const MAX_SPAN_LINKS = 128;

/** Dependencies of a {@link Sender}. */
export interface SenderDependencies {
  readonly leases: LeaseTable;
  /** The queue's name. */
  readonly queue: string;
  readonly destination: Destination;
  /** How long a lease lasts, in milliseconds: then another publisher sends its events, whatever the destination does. */
  readonly leaseMs: number;
  readonly metrics: StatsdClient;
  /** Makes the events survive a power cut before they are sent. */
  readonly durable: Pick<DurableEvents, "reach" | "close">;
  readonly counts: PublisherCounts;
  /** OpenTelemetry's API, for a span of each request; undefined: no tracing. */
  readonly tracing?: PublishTracing | undefined;
}

/** The outcome of a lease that was sent. */
export interface Sent {
  readonly outcome: Outcome;
  /** The UUID in the events' names. */
  readonly uuid: string;
  readonly count: number;
  /** How many of the events were accepted. */
  readonly acceptedCount: number;
  readonly sizeBytes: number;
  /** How long the destination took to respond, in milliseconds. */
  readonly durationMs: number;
}

/** Sends leases to the destination. The policy decides what follows from the outcome. */
export class Sender {
  readonly #dependencies: SenderDependencies;

  constructor(dependencies: SenderDependencies) {
    this.#dependencies = dependencies;
  }

  /** @param stop ends the delivery when it aborts @throws {EventStorageError} the events cannot be read or synced */
  async send(lease: Lease, stop: AbortSignal): Promise<Sent> {
    const { leases, queue, destination, durable, leaseMs } = this.#dependencies;
    const { firstId, lastId } = lease;
    const { putAtMs, ...events } = leases.read(lease);
    const { count } = events;
    const uuid = leases.epochs.uuidAt(firstId);
    // A lease has no events when somebody deleted their rows: there is nothing to send.
    if (count === 0)
      return { outcome: { kind: "accepted" }, uuid, count, acceptedCount: 0, sizeBytes: 0, durationMs: 0 };
    const readEvents = () => leases.readEach(lease);
    const batch = { queue, queueUuid: uuid, firstId, lastId, ...events, events: readEvents };
    const delivery = (await within(leaseMs, destination.prepare(batch), stop)) ?? NOT_PREPARED;
    const { sizeBytes } = delivery;
    await durable.reach(lastId);
    const startedAtMs = performance.now();
    const outcome = await this.#traced(lease, { count, sizeBytes }, () => attempt(delivery, leaseMs, stop));
    const durationMs = performance.now() - startedAtMs;
    const sent = { outcome, uuid, count, acceptedCount: acceptedOf(outcome, count), sizeBytes, durationMs };
    if (!("dropped" in outcome) || outcome.dropped !== count) this.#count(lease, sent, { putAtMs, stop });
    return sent;
  }

  /** Closes the destination and the metrics. No delivery may be in flight. */
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

  /** Runs the request in a span if there is tracing. @throws {EventStorageError} before the request */
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

/** Of a transform or a service's own destination, which may never end. */
const NOT_PREPARED: Delivery = {
  sizeBytes: 0,
  send: async () => ({
    kind: "unavailable",
    reason: "the batch was not ready before its lease ended: see that transform always ends",
    isUnsent: true,
  }),
};

const NO_OUTCOME: Outcome = {
  kind: "unavailable",
  reason: "the destination gave no outcome before the lease ended: see its timeoutMs",
  isTransport: true,
};

/** Resolves with undefined if the work takes longer, or if `stop` aborts first. */
async function within<Result>(
  timeoutMs: number,
  work: Promise<Result>,
  stop?: AbortSignal,
): Promise<Result | undefined> {
  const { promise: givenUp, resolve } = Promise.withResolvers<undefined>();
  const giveUp = (): void => resolve(undefined);
  const timer = setTimeout(giveUp, Math.min(timeoutMs, MAX_TIMEOUT_MS));
  stop?.addEventListener("abort", giveUp, { once: true });
  try {
    return await Promise.race([work, givenUp]);
  } finally {
    clearTimeout(timer);
    stop?.removeEventListener("abort", giveUp);
  }
}

async function attempt(delivery: Delivery, leaseMs: number, stop: AbortSignal): Promise<Outcome> {
  const outcome = (await within(leaseMs, delivery.send(stop))) ?? NO_OUTCOME;
  if (!stop.aborted || outcome.kind !== "unavailable") return outcome;
  return { ...outcome, reason: "the grace time of the stop has ended" };
}

function acceptedOf(outcome: Outcome, count: number): number {
  if (outcome.kind === "accepted") return count - (outcome.dropped ?? 0);
  if (outcome.kind !== "partial") return 0;
  return count - outcome.rejected.length - outcome.undelivered.length - (outcome.dropped ?? 0);
}
