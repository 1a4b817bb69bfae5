/**
 * All metrics of a publisher: name, help and value. Names follow https://prometheus.io/docs/practices/naming/: base
 * units, and `_total` for counters.
 *
 * @module
 */
import { type Family, histogram, type MetricRow, samplesBy, single } from "../metrics/family.ts";
import type { PublisherMetrics, QueueState, SubscriptionState } from "../publisher/mod.ts";

const OF_THE_FILE = "From the queue's file: the same for every publisher of the queue.";

const FILE_GAUGES: readonly MetricRow<QueueState>[] = [
  ["queue_depth", "Events waiting and leased.", ({ depth }) => depth],
  ["queue_max_events", "The row cap: at this depth puts are rejected.", ({ maxEvents }) => maxEvents],
  ["queue_leased", "Events in leases that have not expired.", ({ leased }) => leased],
  [
    "queue_oldest_event_age_seconds",
    "Age of the oldest event; 0 if there is none.",
    ({ oldestPutAtMs = Number.POSITIVE_INFINITY }) => Math.max(0, Date.now() - oldestPutAtMs) / 1_000,
  ],
  [
    "dead_letters",
    "Dead letters: events that the destination rejected one by one.",
    ({ deadLetters }) => deadLetters,
  ],
  [
    "queue_retained_bytes",
    "Bodies of the events that are kept under queue.retention.",
    ({ retainedBytes }) => retainedBytes,
  ],
  [
    "dead_letter_bytes",
    "Size of the bodies and responses of the dead letters.",
    ({ deadLetterBytes }) => deadLetterBytes,
  ],
];

const FILE_COUNTERS: readonly MetricRow<QueueState>[] = [
  [
    "put_events_total",
    "Events ever put into the queue, including retried dead letters.",
    ({ newestId }) => newestId,
  ],
  [
    "dropped_dead_letters_total",
    "Dead letters ever dropped to make room for newer ones.",
    ({ droppedDeadLetters }) => droppedDeadLetters,
  ],
];

const GAUGES: readonly MetricRow<PublisherMetrics>[] = [
  ["running", "1 while it publishes, else 0.", ({ isRunning }) => Number(isRunning)],
  [
    "paused",
    "1 while the queue is paused by eventspool pause.",
    ({ pausedAtMs }) => Number(pausedAtMs !== undefined),
  ],
  ["in_flight_batches", "Batches in flight to the destination.", ({ inFlight }) => inFlight],
  [
    "concurrency_limit",
    "Batches that may be in flight at once now, adapted to how the destination responds.",
    ({ concurrencyLimit }) => concurrencyLimit,
  ],
  [
    "max_concurrency",
    "Batches that may be in flight at most: publisher.concurrency.",
    ({ maxConcurrency }) => maxConcurrency,
  ],
  [
    "max_batch_bytes",
    "Size of a full batch before compression: as configured, or less after a 413.",
    ({ maxBatchBytes }) => maxBatchBytes,
  ],
  [
    "held",
    "1 while too many events are rejected, so that no more become dead letters.",
    ({ isHeld }) => Number(isHeld),
  ],
  [
    "failing_seconds",
    "Time since requests began to fail; 0 if the last one succeeded.",
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
    "1 while the last reload failed and the old configuration is in use.",
    ({ reloadProblem }) => Number(reloadProblem !== undefined),
  ],
  [
    "destination_risks",
    "Settings of the destination that can lose or repeat accepted events: /health names them.",
    ({ destinationRisks }) => destinationRisks.length,
  ],
  ["queue_db_bytes", `Size of the .db file. ${OF_THE_FILE}`, ({ dbBytes }) => dbBytes],
  ["queue_wal_bytes", `Size of the -wal file. ${OF_THE_FILE}`, ({ walBytes }) => walBytes],
];

const COUNTERS: readonly MetricRow<PublisherMetrics>[] = [
  ["delivered_events_total", "Events accepted since the publisher started.", ({ delivered }) => delivered],
  [
    "transport_errors_total",
    "Requests without a response; requests_total counts them as unavailable.",
    ({ counts }) => counts.transportErrors,
  ],
  [
    "split_batches_total",
    "Batches halved to find the event that is rejected.",
    ({ counts }) => counts.splits,
  ],
  ["dead_lettered_events_total", "Events that became dead letters.", ({ counts }) => counts.deadLettered],
  [
    "lost_leases_total",
    "Leases that expired and went to another publisher: their events may arrive twice.",
    ({ counts }) => counts.lostLeases,
  ],
  [
    "duplicate_events_total",
    "Events that the destination already had, if it says so.",
    ({ counts }) => counts.duplicates,
  ],
  [
    "rollbacks_total",
    "Batches that the destination had although they were never sent: the queue file was rolled back, or a proxy repeats requests.",
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
      help: `Events that puts ever rejected, by reason. ${OF_THE_FILE}`,
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
      help: "1; the label has the publisher's version.",
      type: "gauge",
      samples: [{ labels: { version: metrics.version }, value: 1 }],
    },
    ...GAUGES.map((row) => single("gauge", row, metrics)),
    ...COUNTERS.map((row) => single("counter", row, metrics)),
    {
      name: "claimed_batches_total",
      help: "Batches claimed: first, or again after a failure, a split or the death of another publisher.",
      type: "counter",
      samples: samplesBy("claim", counts.claims),
    },
    {
      name: "requests_total",
      help: "Finished requests, by outcome.",
      type: "counter",
      samples: samplesBy("outcome", counts.requests),
    },
    histogram("batch_events", "Events in a request.", counts.batchEvents),
    histogram("batch_bytes", "Size of a request's body before compression.", counts.batchBytes),
    histogram("post_duration_seconds", "Time from a request to its response or failure.", counts.postSeconds),
    histogram(
      "put_to_accepted_seconds",
      "Time from put to acceptance, for each event; of a batch of more than 16, 16 evenly spread events are measured.",
      counts.acceptedSeconds,
    ),
  ];
}

function inFile<From>([name, help, read]: MetricRow<From>): MetricRow<From> {
  return [name, `${help} ${OF_THE_FILE}`, read];
}
