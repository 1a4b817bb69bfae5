/**
 * Every metric: its name, its help text, and its value. Names follow
 * https://prometheus.io/docs/practices/naming/: base units, and `_total` for counters.
 */
import { byLabel, type Family, histogram, type MetricRow, single } from "../metrics/family.ts";
import type { PublisherMetrics, PublisherStats, QueueState, SubscriptionState } from "../publisher/mod.ts";

const OF_THE_FILE = "From the queue file: the same for all its publishers.";

function secondsSince(atMs: number = Number.POSITIVE_INFINITY): number {
  return Math.max(0, Date.now() - atMs) / 1_000;
}

const OF_FILE: readonly MetricRow<QueueState>[] = [
  ["queue_depth", "Events waiting and leased.", (state) => state.depth],
  ["queue_max_events", "The cap: at this depth puts are rejected.", (state) => state.maxEvents],
  ["queue_leased", "Events in leases that have not expired.", (state) => state.leased],
  [
    "queue_oldest_event_age_seconds",
    "Age of the oldest event; 0: there is none.",
    (state) => secondsSince(state.oldestPutAtMs),
  ],
  ["dead_letters", "Events in dead letters: the destination rejected them.", (state) => state.deadLetters],
  ["queue_retained_bytes", "Size of the events that queue.retention keeps.", (state) => state.retainedBytes],
  ["dead_letter_bytes", "Size of the dead letters: bodies and responses.", (state) => state.deadLetterBytes],
  [
    "put_events_total",
    "Events put into the queue, including dead letters that were put back.",
    (state) => state.newestId,
  ],
  [
    "dropped_dead_letters_total",
    "Dead letters dropped to make room for newer ones.",
    (state) => state.droppedDeadLetters,
  ],
];

const OF_PUBLISHER: readonly MetricRow<PublisherMetrics>[] = [
  ["running", "1 while it publishes, else 0.", (now) => Number(now.isRunning)],
  [
    "paused",
    "1 while the queue is paused (eventspool pause), else 0.",
    (now) => Number(now.pausedAtMs !== undefined),
  ],
  ["in_flight_batches", "Batches in flight to the destination.", (now) => now.inFlight],
  [
    "concurrency_limit",
    "Batches that may be in flight at once; adapts to the destination.",
    (now) => now.concurrencyLimit,
  ],
  [
    "max_concurrency",
    "The most batches in flight at once: publisher.concurrency.",
    (now) => now.maxConcurrency,
  ],
  [
    "max_batch_bytes",
    "Size of a full batch before compression: the configured one, or less after a 413.",
    (now) => now.maxBatchBytes,
  ],
  [
    "held",
    "1 while the queue is held: so many events are rejected that no more become dead letters.",
    (now) => Number(now.isHeld),
  ],
  [
    "failing_seconds",
    "Time since the current run of failed requests began; 0: the last one succeeded.",
    (now) => now.failingForMs / 1_000,
  ],
  ["consecutive_failures", "Failed requests in a row.", (now) => now.consecutiveFailures],
  [
    "consecutive_storage_failures",
    "Failures of the queue file in a row.",
    (now) => now.consecutiveStorageFailures,
  ],
  [
    "reload_failed",
    "1 while the new configuration cannot be used and the old one is in use, else 0.",
    (now) => Number(now.reloadProblem !== undefined),
  ],
  [
    "destination_risks",
    "Settings of the destination that can lose or repeat accepted events; /health names them.",
    (now) => now.destinationRisks.length,
  ],
  ["queue_db_bytes", `Size of the .db file. ${OF_THE_FILE}`, (now) => now.dbBytes],
  ["queue_wal_bytes", `Size of the -wal file. ${OF_THE_FILE}`, (now) => now.walBytes],
  ["delivered_events_total", "Events that the destination accepted since the start.", (now) => now.delivered],
];

const COUNTS: readonly MetricRow<PublisherStats>[] = [
  [
    "transport_errors_total",
    "Requests without a response; they are among the unavailable ones.",
    (counts) => counts.transportErrors,
  ],
  ["split_batches_total", "Batches split in halves to find the event at fault.", (counts) => counts.splits],
  ["dead_lettered_events_total", "Events that became dead letters.", (counts) => counts.deadLettered],
  ["dropped_events_total", "Events that transform settled without sending them.", (counts) => counts.dropped],
  [
    "redacted_events_total",
    "Events that were sent without a field of publisher.drop_fields.",
    (counts) => counts.redacted,
  ],
  [
    "lost_leases_total",
    "Leases that another publisher claimed before they were settled: their events may arrive twice.",
    (counts) => counts.lostLeases,
  ],
  [
    "duplicate_events_total",
    "Events that the destination already had, if it reports them.",
    (counts) => counts.duplicates,
  ],
  [
    "rollbacks_total",
    "Batches that the destination had although they were never sent: the queue file was rolled back, or a proxy repeats requests.",
    (counts) => counts.rollbacks,
  ],
  ["storage_failures_total", "Failures of the queue file.", (counts) => counts.storageFailures],
];

const OF_SUBSCRIPTION: readonly MetricRow<SubscriptionState>[] = [
  ["subscription_depth", "Events of the subscription, waiting and leased.", (state) => state.depth],
  ["subscription_leased", "Events in its leases that have not expired.", (state) => state.leased],
  [
    "subscription_oldest_event_age_seconds",
    "Age of its oldest event; 0: there is none.",
    (state) => secondsSince(state.oldestPutAtMs),
  ],
  ["subscription_replay_events", "Events that a replay has still to send.", (state) => state.replayLeft],
  [
    "subscription_dead_letters",
    "Events in its dead letters: its destination rejected them.",
    (state) => state.deadLetters,
  ],
  [
    "subscription_skipped_events_total",
    "Events that it skipped because it exceeded its lag limit.",
    (state) => state.skipped,
  ],
];

/** The metrics of a queue file. */
export function fileFamilies(state: QueueState): Family[] {
  const rejected = [
    "rejected_puts_total",
    `Events rejected by put, by reason. ${OF_THE_FILE}`,
    "reason",
  ] as const;
  return [
    ...OF_SUBSCRIPTION.map(([name, help, read]) =>
      byLabel(
        [name, `${help} ${OF_THE_FILE}`, "subscription"],
        state.subscriptions.map((subscription) => [subscription.name, read(subscription)]),
      ),
    ),
    ...OF_FILE.map(([name, help, read]) => single([name, `${help} ${OF_THE_FILE}`, read], state)),
    byLabel(rejected, Object.entries(state.rejectedPuts)),
  ];
}

const BUILD = ["build_info", "Always 1; the label is the version of the publisher.", "version"] as const;

const CLAIMS = [
  "claimed_batches_total",
  "Batches claimed: first, or again after a failure, a split or another publisher's death.",
  "claim",
] as const;

const REQUESTS = ["requests_total", "Requests that have ended, by outcome.", "outcome"] as const;

/** The metrics of a publisher. */
export function publisherFamilies(metrics: PublisherMetrics): Family[] {
  const { counts } = metrics;
  return [
    byLabel(BUILD, [[metrics.version, 1]]),
    ...OF_PUBLISHER.map((row) => single(row, metrics)),
    ...COUNTS.map((row) => single(row, counts)),
    byLabel(CLAIMS, Object.entries(counts.claims)),
    byLabel(REQUESTS, Object.entries(counts.requests)),
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
