/**
 * What an operator, or a probe, asks a collector over HTTP.
 *
 * @module
 */
import { type Context, Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { respondWithMetrics } from "../metrics/prometheus.ts";
import { guardedBy } from "../server/bearer_guard.ts";
import { addProbes } from "./app.ts";
import { collectorFamilies } from "./metric_families.ts";
import type { CollectorStatus } from "./status.ts";

/** Options of {@link collectorAdmin}. */
export interface CollectorAdminOptions {
  /** What a request must carry as `Authorization: Bearer TOKEN`, except to the probes. Default: nothing. */
  readonly token?: string | undefined;
}

/**
 * The admin routes of a collector as a Hono app, for another listener than the batches': names of keys and words of
 * the sink are not for everyone.
 *
 * - `GET /health`: 200 when it is ok, or `degraded` with `reasons`; 503 with `reasons` when its sink fails or it stops
 * - `GET /metrics`: for Prometheus, or as OpenMetrics if that is accepted
 * - `GET /livez`, `GET /readyz`: as beside the batches
 */
export function collectorAdmin(status: CollectorStatus, { token }: CollectorAdminOptions = {}): Hono {
  const app = new Hono();
  const guard = guardedBy(token, "the collector's admin.token");
  app.use(async (c, next) => {
    await next();
    c.header("Cache-Control", "no-store");
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
    pending_requests: status.pendingRequests,
    pending_bytes: status.pendingBytes,
    ignored_event_ids: status.ignoredIds,
  };
  return c.json(body, health.status === "failing" ? 503 : 200);
}

function isoTime(atMs: number | undefined): string | null {
  return atMs === undefined ? null : new Date(atMs).toISOString();
}
