/**
 * Every metric there is: its name, what it means, and where its value comes from. Names follow
 * https://prometheus.io/docs/practices/naming/: base units, `_total` for what only grows.
 *
 * @module
 */
import { type Family, histogram, type MetricRow, samplesBy, single } from "../metrics/family.ts";
import type { PublisherMetrics, QueueState, SubscriptionState } from "../publisher/mod.ts";

const OF_THE_FILE = "It is the queue file's, the same for every publisher of the queue.";

const FILE_GAUGES: readonly MetricRow<QueueState>[] = [
  ["queue_depth", "Events waiting and leased.", ({ depth }) => depth],
  ["queue_max_events", "The row cap: at this depth puts are rejected.", ({ maxEvents }) => maxEvents],
  ["queue_leased", "Events in leases that have not expired.", ({ leased }) => leased],
  [
    "queue_oldest_event_age_seconds",
    "How long the oldest event has waited; 0 when there is none.",
    ({ oldestPutAtMs = Number.POSITIVE_INFINITY }) => Math.max(0, Date.now() - oldestPutAtMs) / 1_000,
  ],
  ["dead_letters", "Events the collector rejected by themselves.", ({ deadLetters }) => deadLetters],
  [
    "queue_retained_bytes",
    "Bodies of the events that are kept under queue.retention.",
    ({ retainedBytes }) => retainedBytes,
  ],
  ["dead_letter_bytes", "Bodies and answers of the dead letters.", ({ deadLetterBytes }) => deadLetterBytes],
];

const FILE_COUNTERS: readonly MetricRow<QueueState>[] = [
  [
    "put_events_total",
    "Events ever put into the queue, dead letters that were put back included.",
    ({ newestId }) => newestId,
  ],
  [
    "dropped_dead_letters_total",
    "Dead letters that made room for newer ones, ever.",
    ({ droppedDeadLetters }) => droppedDeadLetters,
  ],
];

const GAUGES: readonly MetricRow<PublisherMetrics>[] = [
  ["running", "1 while it publishes, 0 before and after.", ({ isRunning }) => Number(isRunning)],
  [
    "paused",
    "1 while the queue is paused by eventspool pause.",
    ({ pausedAtMs }) => Number(pausedAtMs !== undefined),
  ],
  ["in_flight_batches", "Batches on their way to the collector.", ({ inFlight }) => inFlight],
  [
    "concurrency_limit",
    "Batches that may be in flight at once, as the collector answers now.",
    ({ concurrencyLimit }) => concurrencyLimit,
  ],
  [
    "max_concurrency",
    "Batches that may ever be in flight at once: publisher.concurrency.",
    ({ maxConcurrency }) => maxConcurrency,
  ],
  [
    "max_batch_bytes",
    "The size of a full batch before compression, as configured or as a 413 has taught.",
    ({ maxBatchBytes }) => maxBatchBytes,
  ],
  [
    "held",
    "1 while so many events are rejected that no more of them become dead letters.",
    ({ isHeld }) => Number(isHeld),
  ],
  [
    "failing_seconds",
    "How long there have been only failed requests; 0 when the last one did not fail.",
    ({ failingForMs }) => failingForMs / 1_000,
  ],
  ["consecutive_failures", "Failed requests in a row.", ({ consecutiveFailures }) => consecutiveFailures],
  [
    "consecutive_storage_failures",
    "Failures of the queue file in a row.",
    ({ consecutiveStorageFailures }) => consecutiveStorageFailures,
  ],
  [
    "reload_failed",
    "1 while the configuration that was last to be read cannot be used, and the one before it still is.",
    ({ reloadProblem }) => Number(reloadProblem !== undefined),
  ],
  [
    "destination_risks",
    "Settings of the destination that can lose accepted events, or repeat them: /health names them.",
    ({ destinationRisks }) => destinationRisks.length,
  ],
  ["queue_db_bytes", `Size of the .db file. ${OF_THE_FILE}`, ({ dbBytes }) => dbBytes],
  ["queue_wal_bytes", `Size of the -wal file. ${OF_THE_FILE}`, ({ walBytes }) => walBytes],
];

const COUNTERS: readonly MetricRow<PublisherMetrics>[] = [
  ["delivered_events_total", "Events accepted since the publisher started.", ({ delivered }) => delivered],
  [
    "transport_errors_total",
    "Requests to which no answer came; they are among the unavailable ones.",
    ({ counts }) => counts.transportErrors,
  ],
  ["split_batches_total", "Batches halved to find the event at fault.", ({ counts }) => counts.splits],
  ["dead_lettered_events_total", "Events that became dead letters.", ({ counts }) => counts.deadLettered],
  [
    "lost_leases_total",
    "Leases that went to another publisher before they were settled: their events may arrive twice.",
    ({ counts }) => counts.lostLeases,
  ],
  [
    "duplicate_events_total",
    "Events that the destination already had, as far as it says so.",
    ({ counts }) => counts.duplicates,
  ],
  [
    "rollbacks_total",
    "Batches that the destination had though they were never sent: the queue file was rolled back, or a proxy sends requests twice.",
    ({ counts }) => counts.rollbacks,
  ],
  ["storage_failures_total", "Failures of the queue file.", ({ counts }) => counts.storageFailures],
];

const SUBSCRIPTION_GAUGES: readonly MetricRow<SubscriptionState>[] = [
  ["subscription_depth", "Events of the subscription, waiting and leased.", ({ depth }) => depth],
  ["subscription_leased", "Events in its leases that have not expired.", ({ leased }) => leased],
  [
    "subscription_oldest_event_age_seconds",
    "How long its oldest event has waited; 0 when there is none.",
    ({ oldestPutAtMs = Number.POSITIVE_INFINITY }) => Math.max(0, Date.now() - oldestPutAtMs) / 1_000,
  ],
  ["subscription_replay_left", "Events that a replay is yet to send again.", ({ replayLeft }) => replayLeft],
  ["subscription_dead_letters", "Events its destination rejected.", ({ deadLetters }) => deadLetters],
];

const SUBSCRIPTION_COUNTERS: readonly MetricRow<SubscriptionState>[] = [
  [
    "subscription_skipped_events_total",
    "Events that it never got, since it lagged further behind than its limit, ever.",
    ({ skipped }) => skipped,
  ],
];

/** A metric with one value for each subscription. */
function bySubscription(
  type: Family["type"],
  [name, help, read]: MetricRow<SubscriptionState>,
  subscriptions: readonly SubscriptionState[],
): Family {
  const samples = subscriptions.map((subscription) => ({
    labels: { subscription: subscription.name },
    value: read(subscription),
  }));
  return { name, help, type, samples };
}

/** The metrics of a queue's file. */
export function fileFamilies(state: QueueState): Family[] {
  const { subscriptions } = state;
  return [
    ...SUBSCRIPTION_GAUGES.map((row) => bySubscription("gauge", inFile(row), subscriptions)),
    ...SUBSCRIPTION_COUNTERS.map((row) => bySubscription("counter", inFile(row), subscriptions)),
    ...FILE_GAUGES.map((row) => single("gauge", inFile(row), state)),
    ...FILE_COUNTERS.map((row) => single("counter", inFile(row), state)),
    {
      name: "rejected_puts_total",
      help: `Events that puts rejected, ever, by the reason. ${OF_THE_FILE}`,
      type: "counter",
      samples: samplesBy("reason", state.rejectedPuts),
    },
  ];
}

/** The metrics of a publisher. */
export function publisherFamilies(metrics: PublisherMetrics): Family[] {
  const { counts } = metrics;
  return [
    {
      name: "build_info",
      help: "1; the label tells the publisher's version.",
      type: "gauge",
      samples: [{ labels: { version: metrics.version }, value: 1 }],
    },
    ...GAUGES.map((row) => single("gauge", row, metrics)),
    ...COUNTERS.map((row) => single("counter", row, metrics)),
    {
      name: "claimed_batches_total",
      help: "Batches claimed: first, or again after a failure, a halving or another publisher's death.",
      type: "counter",
      samples: samplesBy("claim", counts.claims),
    },
    {
      name: "requests_total",
      help: "Requests that have ended, by what came of them.",
      type: "counter",
      samples: samplesBy("outcome", counts.requests),
    },
    histogram("batch_events", "Events of a request.", counts.batchEvents),
    histogram("batch_bytes", "Size of a request's body before compression.", counts.batchBytes),
    histogram(
      "post_duration_seconds",
      "How long a request took to be answered or to fail.",
      counts.postSeconds,
    ),
    histogram(
      "put_to_accepted_seconds",
      "Time from put to the collector's yes, for each event; of a batch of more than 16, 16 of its events, evenly spread, stand for all.",
      counts.acceptedSeconds,
    ),
  ];
}

function inFile<From>([name, help, read]: MetricRow<From>): MetricRow<From> {
  return [name, `${help} ${OF_THE_FILE}`, read];
}
