/**
 * Every metric: its name, its help text, and its value. Names follow
 * https://prometheus.io/docs/practices/naming/: base units, and `_total` for counters.
 */
import { type Family, histogram, type MetricRow, samplesBy, single } from "../metrics/family.ts";
import type { PublisherMetrics, QueueState, SubscriptionState } from "../publisher/mod.ts";

const OF_THE_FILE = "From the queue file: the same for all its publishers.";

const FILE_GAUGES: readonly MetricRow<QueueState>[] = [
  ["queue_depth", "Events waiting and leased.", ({ depth }) => depth],
  ["queue_max_events", "The cap: at this depth puts are rejected.", ({ maxEvents }) => maxEvents],
  ["queue_leased", "Events in leases that have not expired.", ({ leased }) => leased],
  [
    "queue_oldest_event_age_seconds",
    "Age of the oldest event; 0: there is none.",
    ({ oldestPutAtMs = Number.POSITIVE_INFINITY }) => Math.max(0, Date.now() - oldestPutAtMs) / 1_000,
  ],
  [
    "dead_letters",
    "Events in dead letters: the destination rejected them.",
    ({ deadLetters }) => deadLetters,
  ],
  [
    "queue_retained_bytes",
    "Size of the events that queue.retention keeps.",
    ({ retainedBytes }) => retainedBytes,
  ],
  [
    "dead_letter_bytes",
    "Size of the dead letters: bodies and responses.",
    ({ deadLetterBytes }) => deadLetterBytes,
  ],
];

const FILE_COUNTERS: readonly MetricRow<QueueState>[] = [
  [
    "put_events_total",
    "Events put into the queue, including dead letters that were put back.",
    ({ newestId }) => newestId,
  ],
  [
    "dropped_dead_letters_total",
    "Dead letters dropped to make room for newer ones.",
    ({ droppedDeadLetters }) => droppedDeadLetters,
  ],
];

const GAUGES: readonly MetricRow<PublisherMetrics>[] = [
  ["running", "1 while it publishes, else 0.", ({ isRunning }) => Number(isRunning)],
  [
    "paused",
    "1 while the queue is paused (eventspool pause), else 0.",
    ({ pausedAtMs }) => Number(pausedAtMs !== undefined),
  ],
  ["in_flight_batches", "Batches in flight to the destination.", ({ inFlight }) => inFlight],
  [
    "concurrency_limit",
    "Batches that may be in flight at once; adapts to the destination.",
    ({ concurrencyLimit }) => concurrencyLimit,
  ],
  [
    "max_concurrency",
    "The most batches in flight at once: publisher.concurrency.",
    ({ maxConcurrency }) => maxConcurrency,
  ],
  [
    "max_batch_bytes",
    "Size of a full batch before compression: the configured one, or less after a 413.",
    ({ maxBatchBytes }) => maxBatchBytes,
  ],
  [
    "held",
    "1 while the queue is held: so many events are rejected that no more become dead letters.",
    ({ isHeld }) => Number(isHeld),
  ],
  [
    "failing_seconds",
    "Time since the current run of failed requests began; 0: the last one succeeded.",
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
    "1 while the new configuration cannot be used and the old one is in use, else 0.",
    ({ reloadProblem }) => Number(reloadProblem !== undefined),
  ],
  [
    "destination_risks",
    "Settings of the destination that can lose or repeat accepted events; /health names them.",
    ({ destinationRisks }) => destinationRisks.length,
  ],
  ["queue_db_bytes", `Size of the .db file. ${OF_THE_FILE}`, ({ dbBytes }) => dbBytes],
  ["queue_wal_bytes", `Size of the -wal file. ${OF_THE_FILE}`, ({ walBytes }) => walBytes],
];

const COUNTERS: readonly MetricRow<PublisherMetrics>[] = [
  [
    "delivered_events_total",
    "Events that the destination accepted since the start.",
    ({ delivered }) => delivered,
  ],
  [
    "transport_errors_total",
    "Requests without a response; they are among the unavailable ones.",
    ({ counts }) => counts.transportErrors,
  ],
  [
    "split_batches_total",
    "Batches split in halves to find the event at fault.",
    ({ counts }) => counts.splits,
  ],
  ["dead_lettered_events_total", "Events that became dead letters.", ({ counts }) => counts.deadLettered],
  [
    "dropped_events_total",
    "Events that transform settled without sending them.",
    ({ counts }) => counts.dropped,
  ],
  [
    "redacted_events_total",
    "Events that were sent without a field of publisher.drop_fields.",
    ({ counts }) => counts.redacted,
  ],
  [
    "lost_leases_total",
    "Leases that another publisher claimed before they were settled: their events may arrive twice.",
    ({ counts }) => counts.lostLeases,
  ],
  [
    "duplicate_events_total",
    "Events that the destination already had, if it reports them.",
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
    "Age of its oldest event; 0: there is none.",
    ({ oldestPutAtMs = Number.POSITIVE_INFINITY }) => Math.max(0, Date.now() - oldestPutAtMs) / 1_000,
  ],
  ["subscription_replay_events", "Events that a replay has still to send.", ({ replayLeft }) => replayLeft],
  [
    "subscription_dead_letters",
    "Events in its dead letters: its destination rejected them.",
    ({ deadLetters }) => deadLetters,
  ],
];

const SUBSCRIPTION_COUNTERS: readonly MetricRow<SubscriptionState>[] = [
  [
    "subscription_skipped_events_total",
    "Events that it skipped because it exceeded its lag limit.",
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

/** The metrics of a queue file. */
export function fileFamilies(state: QueueState): Family[] {
  const { subscriptions } = state;
  return [
    ...SUBSCRIPTION_GAUGES.map((row) => bySubscription("gauge", inFile(row), subscriptions)),
    ...SUBSCRIPTION_COUNTERS.map((row) => bySubscription("counter", inFile(row), subscriptions)),
    ...FILE_GAUGES.map((row) => single("gauge", inFile(row), state)),
    ...FILE_COUNTERS.map((row) => single("counter", inFile(row), state)),
    {
      name: "rejected_puts_total",
      help: `Events rejected by put, by reason. ${OF_THE_FILE}`,
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
      help: "Always 1; the label is the version of the publisher.",
      type: "gauge",
      samples: [{ labels: { version: metrics.version }, value: 1 }],
    },
    ...GAUGES.map((row) => single("gauge", row, metrics)),
    ...COUNTERS.map((row) => single("counter", row, metrics)),
    {
      name: "claimed_batches_total",
      help: "Batches claimed: first, or again after a failure, a split or another publisher's death.",
      type: "counter",
      samples: samplesBy("claim", counts.claims),
    },
    {
      name: "requests_total",
      help: "Requests that have ended, by outcome.",
      type: "counter",
      samples: samplesBy("outcome", counts.requests),
    },
    histogram("batch_events", "Events in a request.", counts.batchEvents),
    histogram("batch_bytes", "Size of a request's body before compression.", counts.batchBytes),
    histogram("post_duration_seconds", "Time until a request succeeded or failed.", counts.postSeconds),
    histogram(
      "put_to_accepted_seconds",
      "Time from put to accepted for each event; a batch of more than 16 events is sampled at 16 of them.",
      counts.acceptedSeconds,
    ),
  ];
}

function inFile<From>([name, help, read]: MetricRow<From>): MetricRow<From> {
  return [name, `${help} ${OF_THE_FILE}`, read];
}
