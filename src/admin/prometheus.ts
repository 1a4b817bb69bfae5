/**
 * The publisher's state in the text format of Prometheus.
 *
 * @module
 */
import { Counter, Gauge, Registry } from "prom-client";
import type { PublisherStatus } from "../publisher/status.ts";

const PREFIX = "eventspool_";

const GAUGES: ReadonlyArray<
  readonly [name: string, help: string, read: (status: PublisherStatus) => number]
> = [
  ["queue_depth", "Events waiting and leased.", ({ state }) => state.depth],
  ["queue_max_events", "The row cap: at this depth puts are refused.", ({ state }) => state.maxEvents],
  ["queue_leased", "Events in leases that have not expired.", ({ state }) => state.leased],
  [
    "queue_oldest_event_age_seconds",
    "How long the oldest event has waited; 0 when there is none.",
    ({ state }) => Math.max(0, Date.now() - (state.oldestPutAtMs ?? Date.now())) / 1_000,
  ],
  ["dead_letters", "Events the collector refused by themselves.", ({ state }) => state.deadLetters],
  ["dead_letter_bytes", "Bodies and answers of the dead letters.", ({ state }) => state.deadLetterBytes],
  ["in_flight_batches", "Batches on their way to the collector.", ({ inFlight }) => inFlight],
  ["consecutive_failures", "Failed requests in a row.", ({ failures }) => failures],
  ["storage_failures", "Failures of the queue file in a row.", ({ storageFailures }) => storageFailures],
];

const COUNTERS: ReadonlyArray<
  readonly [name: string, help: string, read: (status: PublisherStatus) => number]
> = [
  ["delivered_events_total", "Events accepted since the publisher started.", ({ delivered }) => delivered],
  [
    "dropped_dead_letters_total",
    "Dead letters that made room for newer ones, ever.",
    ({ state }) => state.droppedDeadLetters,
  ],
];

/** The content type of {@link prometheusText}. */
export const PROMETHEUS_TYPE: string = Registry.PROMETHEUS_CONTENT_TYPE;

/** All metrics of a status, labelled with the queue's name. */
export async function prometheusText(status: PublisherStatus): Promise<string> {
  const registry = new Registry();
  registry.setDefaultLabels({ queue: status.queue });
  const registers = [registry];
  for (const [name, help, read] of GAUGES)
    new Gauge({ name: PREFIX + name, help, registers }).set(read(status));
  for (const [name, help, read] of COUNTERS)
    new Counter({ name: PREFIX + name, help, registers }).inc(read(status));
  const refused = new Counter({
    name: `${PREFIX}refused_puts_total`,
    help: "Events that puts refused, ever, by the reason.",
    labelNames: ["reason"],
    registers,
  });
  for (const [reason, count] of Object.entries(status.state.refusedPuts)) refused.inc({ reason }, count);
  return registry.metrics();
}
