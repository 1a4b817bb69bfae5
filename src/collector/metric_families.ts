/**
 * Every metric of a collector: its name, what it means, and where its value comes from.
 *
 * @module
 */
import { type Family, histogram, type MetricRow, samplesBy, single } from "../metrics/family.ts";
import { VERSION } from "../version.ts";
import type { CollectorStatus, KeyCounts } from "./status.ts";

const GAUGES: readonly MetricRow<CollectorStatus>[] = [
  ["collector_reading_requests", "Requests whose bodies are being read.", (status) => status.readingRequests],
  [
    "collector_reading_bytes",
    "What has arrived of such bodies; at max_pending_size the largest are answered 503.",
    (status) => status.readingBytes,
  ],
  [
    "collector_pending_requests",
    "Requests being stored; at max_requests others are answered 503.",
    (status) => status.pendingRequests,
  ],
  [
    "collector_pending_bytes",
    "Bodies of such requests, decompressed; at max_pending_size others are answered 503.",
    (status) => status.pendingBytes,
  ],
  [
    "collector_saturated",
    "1 while other batches are answered 503 because of max_requests or max_pending_size, else 0.",
    (status) => Number(status.isSaturated),
  ],
  [
    "collector_connections",
    "Open connections of the batches' listener.",
    (status) => status.connections?.openCount ?? 0,
  ],
  [
    "collector_consecutive_store_failures",
    "Failures of the sink since it last kept a batch.",
    (status) => status.storeFailures,
  ],
  [
    "collector_reload_failed",
    "1 while the configuration that was last to be read cannot be used, and the one before it still is.",
    (status) => Number(status.reloadFailure !== undefined),
  ],
  [
    "collector_sink_risks",
    "Settings of the sink that can lose kept events, or repeat them: /health names them.",
    (status) => status.sinkRisks().length,
  ],
];

const OF_KEYS: readonly (readonly [name: string, help: string, key: keyof KeyCounts])[] = [
  ["collector_stored_events_total", "Events that were kept for the first time, by key.", "stored"],
  [
    "collector_duplicate_events_total",
    "Events that had been kept before, and were dropped, by key.",
    "duplicates",
  ],
  ["collector_rejected_events_total", "Events at fault, by key; their publishers keep them.", "rejected"],
  ["collector_received_bytes_total", "Bodies that were rightly signed, decompressed, by key.", "bytes"],
];

/** The metrics of a collector. */
export function collectorFamilies(status: CollectorStatus): Family[] {
  return [
    {
      name: "collector_build_info",
      help: "1; the label tells the version.",
      type: "gauge",
      samples: [{ labels: { version: VERSION }, value: 1 }],
    },
    ...GAUGES.map((row) => single("gauge", row, status)),
    ...OF_KEYS.map((metric) => byKey(metric, status)),
    {
      name: "collector_requests_total",
      help: "Requests that were answered, by what came of them.",
      type: "counter",
      samples: samplesBy("outcome", status.requests),
    },
    {
      name: "collector_ignored_event_ids_total",
      help: "Requests whose Event-Ids could not be used, so that their events may be stored twice, by reason.",
      type: "counter",
      samples: samplesBy("reason", status.ignoredIds),
    },
    single(
      "counter",
      [
        "collector_cut_connections_total",
        "Connections that were cut to make room for others (max_connections).",
        ({ connections }) => connections?.cutCount ?? 0,
      ],
      status,
    ),
    histogram("collector_batch_events", "Events of a request.", status.batchEvents),
    histogram(
      "collector_store_duration_seconds",
      "How long the sink took to keep a batch, or to fail.",
      status.storeSeconds,
    ),
  ];
}

function byKey(
  [name, help, count]: readonly [name: string, help: string, key: keyof KeyCounts],
  { keys }: CollectorStatus,
): Family {
  const samples = [...keys].map(([key, counts]) => ({ labels: { key }, value: counts[count] }));
  return { name, help, type: "counter", samples };
}
