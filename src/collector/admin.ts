/**
 * What an operator, or a probe, asks a collector over HTTP.
 *
 * @module
 */
import { type Context, Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { escapeControls, isoTime } from "../format.ts";
import { respondWithMetrics } from "../metrics/prometheus.ts";
import { BOOLEAN, checkOptions, type OptionKinds, STRING } from "../options.ts";
import { guardedBy, TokenCheck } from "../server/bearer_guard.ts";
import { namesThisMachine } from "../server/request_origin.ts";
import { addProbes } from "./app.ts";
import { collectorFamilies } from "./metric_families.ts";
import type { CollectorStatus } from "./status.ts";

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
