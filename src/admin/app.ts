/**
 * The admin routes of a publisher: health, metrics, probes and the dashboard.
 *
 * @module
 */
import { type Context, Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { getPath } from "hono/utils/url";
import { ageSeconds, isoTime } from "../format.ts";
import { respondWithMetrics } from "../metrics/prometheus.ts";
import { BOOLEAN, checkOptions, type OptionKinds, STRING } from "../options.ts";
import { healthOf, type PublisherProblem } from "../publisher/health.ts";
import type { QueueState } from "../publisher/mod.ts";
import type { Publisher } from "../publisher/publisher.ts";
import { guardedBy, noStore, respondWithHealth, TokenCheck } from "../server/admin_routes.ts";
import { depthJson } from "../storage/events.ts";
import { DEFAULT_SUBSCRIPTION } from "../storage/subscriptions.ts";
import { Access } from "./dashboard/access.ts";
import { dashboard } from "./dashboard/dashboard.ts";
import { fileFamilies, publisherFamilies } from "./metric_families.ts";

/** The parts of a publisher that the routes use. */
export type ObservedPublisher = Pick<
  Publisher,
  "queue" | "file" | "subscription" | "status" | "metrics" | "deadLetters" | "stopSignal"
>;

/** Options of {@link admin}. */
export interface AdminOptions {
  /**
   * The token of `Authorization: Bearer TOKEN`, which each request needs, except to the probes /livez and /readyz. People
   * sign in to the dashboard with it. Default: none, for routes that only this machine reaches.
   */
  readonly token?: string | undefined;
  /**
   * Whether only this machine reaches the routes: on loopback or a unix socket. Then programs of this process's user see
   * events and may use the dashboard's buttons without a token. Their requests name this machine (`localhost`,
   * `127.0.0.1`), come through no proxy and, where the server passes its sockets on, as the command's does, from a process
   * of this user or of root. All others see counts only. Requests for another host name get 403. Default: false.
   */
  readonly isLocal?: boolean | undefined;
}

const OPTION_KINDS: OptionKinds<AdminOptions> = { token: STRING, isLocal: BOOLEAN };

/**
 * The admin routes as a Hono app:
 *
 * - `GET /`: the dashboard, a page for people
 * - `GET /health`: 200 while events flow or soon will, 503 when somebody must act
 * - `GET /depth`: how many events there are, and how old the oldest is
 * - `GET /metrics`: gauges, counters and histograms for Prometheus, or as OpenMetrics if the request accepts it
 * - `GET /livez`: 200 while the process responds
 * - `GET /readyz`: 200 while it publishes, 503 before and after
 *
 * @example
 * ```ts
 * app.route("/queue", admin(publisher));
 * ```
 */
export function admin(publisher: ObservedPublisher, options: AdminOptions = {}): Hono {
  checkOptions(options, OPTION_KINDS);
  const { token, isLocal = false } = options;
  const app = new Hono({ getPath: pathWithoutDoubleSlash });
  const tokens = token === undefined ? undefined : new TokenCheck(token);
  const access = new Access({ queue: publisher.queue, tokens, isLocal });
  const guards = [access.checkHost, guardedBy(tokens, "the publisher's admin.token")] as const;
  app.use(noStore);
  app.get("/health", ...guards, (c) => health(c, publisher, access));
  app.get("/depth", ...guards, (c) => depth(c, publisher));
  app.get("/metrics", ...guards, (c) => metrics(c, publisher));
  app.get("/livez", access.checkHost, (c) => c.json({ status: "ok" }));
  app.get("/readyz", access.checkHost, (c) => ready(c, publisher));
  app.route("/", dashboard(publisher, access));
  app.notFound((c) =>
    c.json({ error: "The routes are GET /, /health, /depth, /metrics, /livez and /readyz." }, 404),
  );
  app.onError((error, c) => {
    if (error instanceof HTTPException) return error.getResponse(); // the guard's
    return c.json({ status: "failing", queue: publisher.queue, error: error.message }, 503);
  });
  return app;
}

/** A proxy that maps `/ops` to `/` asks for `/ops/health` as `//health`. */
function pathWithoutDoubleSlash(request: Request): string {
  return getPath(request).replace(/^\/{2,}/, "/");
}

async function health(c: Context, publisher: ObservedPublisher, access: Access): Promise<Response> {
  const isTrusted = (await access.levelOf(c)) === "full";
  const status = publisher.status();
  const { health, reasons } = healthOf(status);
  const body = {
    status: health,
    reasons,
    queue: status.queue,
    subscription: status.subscription,
    depth: status.state.depth,
    max_events: status.state.maxEvents,
    dead_letters: status.state.deadLetters,
    oldest_event_age_seconds: ageSeconds(status.state.oldestPutAtMs),
    last_success: isoTime(status.lastSuccessAtMs),
    last_error: describeProblem(status.lastProblem, isTrusted),
    ...(status.pausedAtMs !== undefined && { paused_since: isoTime(status.pausedAtMs) }),
    ...(status.reloadProblem !== undefined && { reload_error: status.reloadProblem }),
    failures_in_a_row: status.consecutiveFailures,
    failing_for_seconds: Math.round(status.failingForMs) / 1_000,
    in_flight: status.inFlight,
    delivered: status.delivered,
  };
  return respondWithHealth(c, body);
}

function depth(c: Context, publisher: ObservedPublisher): Response {
  const { queue, state } = publisher.status();
  return c.json(depthJson(queue, state));
}

function metrics(c: Context, publisher: ObservedPublisher): Promise<Response> {
  const current = publisher.metrics();
  const state = stateOf(publisher);
  const families = [...(state ? fileFamilies(state) : []), ...publisherFamilies(current)];
  const { queue, subscription } = current;
  const isDefault = subscription === DEFAULT_SUBSCRIPTION; // its metrics are named as those of a queue with one reader
  return respondWithMetrics(c, families, {
    queue,
    ...(!isDefault && { publisher_subscription: subscription }),
  });
}

/** Undefined when the queue's file cannot be read: the counts of its failures are still shown. */
function stateOf(publisher: ObservedPublisher): QueueState | undefined {
  try {
    return publisher.status().state;
  } catch {
    return undefined;
  }
}

function ready(c: Context, publisher: ObservedPublisher): Response {
  const { isRunning } = publisher.status();
  return c.json({ status: isRunning ? "ready" : "not ready" }, isRunning ? 200 : 503);
}

/** The collector's response may contain parts of events. */
function describeProblem(problem: PublisherProblem | undefined, isTrusted: boolean): object | null {
  if (problem === undefined) return null;
  return { at: isoTime(problem.atMs), kind: problem.kind, message: isTrusted ? problem.message : NOT_SHOWN };
}

const NOT_SHOWN = "not shown without admin.token, or to other users of this machine";
