/** The admin routes of a collector: health, metrics and probes. */
import { type Context, Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { isoTime } from "../format.ts";
import { byLabel, type Family, histogram, type MetricRow, single } from "../metrics/family.ts";
import { respondWithMetrics } from "../metrics/prometheus.ts";
import { BOOLEAN, checkOption, checkOptions, type OptionKinds, STRING } from "../options.ts";
import { guardedBy, noStore, respondWithHealth, TokenCheck } from "../server/admin_routes.ts";
import { namesThisMachine } from "../server/request_origin.ts";
import { VERSION } from "../version.ts";
import { addProbes } from "./app.ts";
import { type CollectorStatus, type KeyCounts, STATUS } from "./status.ts";

/** Options of {@link collectorAdmin}. */
export interface CollectorAdminOptions {
  /** The token of `Authorization: Bearer TOKEN`, which every request except the probes needs. Default: none. */
  readonly token?: string | undefined;
  /**
   * Whether only this machine can connect. Then, without a token, only requests to `localhost` or `127.0.0.1` are
   * answered: a web page could make its own host name lead to 127.0.0.1. Default: false.
   */
  readonly isLocal?: boolean | undefined;
}

const OPTION_KINDS: OptionKinds<CollectorAdminOptions> = { token: STRING, isLocal: BOOLEAN };

/**
 * The admin routes of a collector as a Hono app. Serve them on another listener than the batches: they show names of
 * keys and errors of the sink.
 *
 * - `GET /health`: 200 if `ok` or `degraded`, with `reasons`; 503 if the sink fails, a limit is reached, or it stops
 * - `GET /metrics`: for Prometheus, as OpenMetrics if the client accepts that
 * - `GET /livez`, `GET /readyz`: the same as beside the batches
 *
 * @throws {ConfigurationError} an argument is not valid
 */
export function collectorAdmin(status: CollectorStatus, options: CollectorAdminOptions = {}): Hono {
  const { token, isLocal = false } = checkOptions(options, OPTION_KINDS);
  checkOption("status", status, STATUS);
  const app = new Hono();
  const tokens = token === undefined ? undefined : new TokenCheck(token);
  const guard = guardedBy(tokens, "the collector's admin.token");
  app.use(noStore);
  app.use(async (c, next) => {
    if (token !== undefined || !isLocal || namesThisMachine(c)) return next();
    return c.json(
      { error: "These routes are for this machine only: use the host name localhost, or set admin.token." },
      403,
    );
  });
  app.get("/health", guard, (c) => health(c, status));
  app.get("/metrics", guard, (c) => respondWithMetrics(c, collectorFamilies(status), {}));
  addProbes(app, status);
  app.notFound((c) =>
    c.json({ error: "Not found. The routes are GET /health, /metrics, /livez and /readyz." }, 404),
  );
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
  return respondWithHealth(c, body);
}

const OF_COLLECTOR: readonly MetricRow<CollectorStatus>[] = [
  ["collector_reading_requests", "Requests whose body is being read.", (status) => status.readingRequests],
  [
    "collector_reading_bytes",
    "Bytes of such bodies that arrived; beyond max_pending_size the largest get a 503.",
    (status) => status.readingBytes,
  ],
  [
    "collector_pending_requests",
    "Requests that are being stored; at max_requests further ones get a 503.",
    (status) => status.pendingRequests,
  ],
  [
    "collector_pending_bytes",
    "Bytes of their decompressed bodies; at max_pending_size further requests get a 503.",
    (status) => status.pendingBytes,
  ],
  [
    "collector_saturated",
    "1 while max_requests or max_pending_size is reached, so that batches get a 503, else 0.",
    (status) => Number(status.isSaturated),
  ],
  [
    "collector_connections",
    "Open connections of the listener for batches.",
    (status) => status.connections?.openCount ?? 0,
  ],
  [
    "collector_consecutive_store_failures",
    "Failures of the sink since it last stored a batch.",
    (status) => status.storeFailures,
  ],
  [
    "collector_reload_failed",
    "1 after a reload that failed, while the old configuration is still in use, else 0.",
    (status) => Number(status.reloadFailure !== undefined),
  ],
  [
    "collector_sink_risks",
    "Settings of the sink that can lose or repeat stored events; /health lists them.",
    (status) => status.sinkRisks().length,
  ],
  [
    "collector_cut_connections_total",
    "Connections that were closed to make room for new ones (max_connections).",
    (status) => status.connections?.cutCount ?? 0,
  ],
];

const OF_KEYS: readonly (readonly [name: string, help: string, key: keyof KeyCounts])[] = [
  ["collector_stored_events_total", "Events that were stored, by key.", "stored"],
  [
    "collector_duplicate_events_total",
    "Events that were dropped, since they were stored before, by key.",
    "duplicates",
  ],
  [
    "collector_rejected_events_total",
    "Events that were rejected, by key; their publishers keep them.",
    "rejected",
  ],
  ["collector_received_bytes_total", "Bytes of decompressed bodies with a valid signature, by key.", "bytes"],
];

const BUILD = ["collector_build_info", "Always 1; the label is the version.", "version"] as const;

const REQUESTS = ["collector_requests_total", "Requests by outcome.", "outcome"] as const;

const IGNORED_IDS = [
  "collector_ignored_event_ids_total",
  "Requests whose Event-Ids were ignored, so that their events may be stored twice, by reason.",
  "reason",
] as const;

/** The metrics of a collector. */
function collectorFamilies(status: CollectorStatus): Family[] {
  const keys = [...status.keys];
  return [
    byLabel(BUILD, [[VERSION, 1]]),
    ...OF_COLLECTOR.map((row) => single(row, status)),
    ...OF_KEYS.map(([name, help, count]) =>
      byLabel(
        [name, help, "key"],
        keys.map(([key, counts]) => [key, counts[count]]),
      ),
    ),
    byLabel(REQUESTS, Object.entries(status.requests)),
    byLabel(IGNORED_IDS, Object.entries(status.ignoredIds)),
    histogram("collector_batch_events", "Events per request.", status.batchEvents),
    histogram(
      "collector_store_duration_seconds",
      "Time of the sink to store a batch, or to fail.",
      status.storeSeconds,
    ),
  ];
}
