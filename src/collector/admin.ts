/**
 * What an operator, or a probe, asks a collector over HTTP.
 *
 * @module
 */
import { type Context, Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { escapeControls, isoTime } from "../format.ts";
import { type Family, histogram, type MetricRow, samplesBy, single } from "../metrics/family.ts";
import { respondWithMetrics } from "../metrics/prometheus.ts";
import { BOOLEAN, checkOptions, type OptionKinds, STRING } from "../options.ts";
import { guardedBy, TokenCheck } from "../server/bearer_guard.ts";
import { namesThisMachine } from "../server/request_origin.ts";
import { VERSION } from "../version.ts";
import { addProbes } from "./app.ts";
import type { CollectorStatus, KeyCounts } from "./status.ts";

/** Options of {@link collectorAdmin}. */
export interface CollectorAdminOptions {
  /** What a request must carry as `Authorization: Bearer TOKEN`, except to the probes. Default: nothing. */
  readonly token?: string | undefined;
  /**
   * Whether only this machine reaches the routes. Then, without a token, they answer only requests that name it
   * (`localhost`, `127.0.0.1`): any web page can have its own name lead to 127.0.0.1. Default: false.
   */
  readonly isLocal?: boolean | undefined;
}

const OPTION_KINDS: OptionKinds<CollectorAdminOptions> = { token: STRING, isLocal: BOOLEAN };

/**
 * The admin routes of a collector as a Hono app, for another listener than the batches': names of keys and words of
 * the sink are not for everyone.
 *
 * - `GET /health`: 200 when it is ok, or `degraded` with `reasons`; 503 when its sink fails, it has too much to do, or it stops
 * - `GET /metrics`: for Prometheus, or as OpenMetrics if that is accepted
 * - `GET /livez`, `GET /readyz`: as beside the batches
 */
export function collectorAdmin(status: CollectorStatus, options: CollectorAdminOptions = {}): Hono {
  checkOptions(options, OPTION_KINDS);
  const { token, isLocal = false } = options;
  const app = new Hono();
  const tokens = token === undefined ? undefined : new TokenCheck(token);
  const guard = guardedBy(tokens, "the collector's admin.token");
  app.use(async (c, next) => {
    await next();
    c.header("Cache-Control", "no-store");
  });
  app.use(async (c, next) => {
    if (token !== undefined || !isLocal || namesThisMachine(c)) return next();
    return c.json({ error: "This is for this machine: ask for it as localhost, or set admin.token." }, 403);
  });
  app.get("/health", guard, (c) => health(c, status));
  app.get("/metrics", guard, (c) => respondWithMetrics(c, collectorFamilies(status), {}));
  addProbes(app, status);
  app.notFound((c) => c.json({ error: "There are GET /health, /metrics, /livez and /readyz." }, 404));
  app.onError((error, c) => {
    if (error instanceof HTTPException) return error.getResponse(); // the guard's
    return c.json({ error: error.message }, 500);
  });
  return app;
}

function health(c: Context, status: CollectorStatus): Response {
  const health = status.health();
  const { lastFailure } = status;
  const body = {
    ...health,
    last_stored: isoTime(status.lastStoredAtMs),
    last_error: lastFailure ? { at: isoTime(lastFailure.atMs), message: lastFailure.message } : null,
    failures_in_a_row: status.storeFailures,
    reading_requests: status.readingRequests,
    reading_bytes: status.readingBytes,
    pending_requests: status.pendingRequests,
    pending_bytes: status.pendingBytes,
    ignored_event_ids: status.ignoredIds,
  };
  const text = escapeControls(JSON.stringify(body)); // the system's words, most often read in a terminal
  return c.body(text, health.status === "failing" ? 503 : 200, { "Content-Type": "application/json" });
}

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
