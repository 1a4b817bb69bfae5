/**
 * What an operator, or a probe, asks a publisher over HTTP.
 *
 * @module
 */
import { type Context, Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { getPath } from "hono/utils/url";
import { ageSeconds, escapeControls, isoTime } from "../format.ts";
import { respondWithMetrics } from "../metrics/prometheus.ts";
import { BOOLEAN, checkOptions, type OptionKinds, STRING } from "../options.ts";
import { healthOf, type PublisherProblem } from "../publisher/health.ts";
import type { QueueState } from "../publisher/mod.ts";
import type { Publisher } from "../publisher/publisher.ts";
import { guardedBy, TokenCheck } from "../server/bearer_guard.ts";
import { depthJson } from "../storage/events.ts";
import { DEFAULT_SUBSCRIPTION } from "../storage/subscriptions.ts";
import { Access } from "./dashboard/access.ts";
import { dashboard } from "./dashboard/dashboard.ts";
import { fileFamilies, publisherFamilies } from "./metric_families.ts";

/** What the routes need of a publisher. */
export type ObservedPublisher = Pick<
  Publisher,
  "queue" | "file" | "status" | "metrics" | "deadLetters" | "stopSignal"
>;

/** Options of {@link admin}. */
export interface AdminOptions {
  /**
   * What a request must carry as `Authorization: Bearer TOKEN`, except to /livez and /readyz: probes, which
   * tell nothing. On the dashboard one signs in with it. Default: nothing, for routes that only this machine reaches.
   */
  readonly token?: string | undefined;
  /**
   * Whether only this machine reaches the routes: on loopback or a unix socket. Then no token is needed to see events
   * and to use the dashboard's buttons for programs of this user: requests that name this machine (`localhost`,
   * `127.0.0.1`), come through no proxy and, where a server shows us its sockets as `serveApp` does, from a process of
   * our user or of root. All others see counts only. Requests that name another host are answered 403. Default: false.
   */
  readonly isLocal?: boolean | undefined;
}

const OPTION_KINDS: OptionKinds<AdminOptions> = { token: STRING, isLocal: BOOLEAN };

/**
 * The admin routes as a Hono app:
 *
 * - `GET /`: the dashboard, a page for people
 * - `GET /health`: 200 when events flow or soon will, 503 when someone must act
 * - `GET /depth`: how many events there are, and how old the oldest is
 * - `GET /metrics`: all of it for Prometheus, with counters and histograms, or as OpenMetrics if that is accepted
 * - `GET /livez`: 200 while the process answers
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
  app.use(async (c, next) => {
    await next();
    if (!c.res.headers.has("Cache-Control")) c.header("Cache-Control", "no-store");
  });
  app.get("/health", ...guards, (c) => health(c, publisher, access));
  app.get("/depth", ...guards, (c) => depth(c, publisher));
  app.get("/metrics", ...guards, (c) => metrics(c, publisher));
  app.get("/livez", access.checkHost, (c) => c.json({ status: "ok" }));
  app.get("/readyz", access.checkHost, (c) => ready(c, publisher));
  app.route("/", dashboard(publisher, access));
  app.notFound((c) =>
    c.json({ error: "There are GET /, /health, /depth, /metrics, /livez and /readyz." }, 404),
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
  const text = escapeControls(JSON.stringify(body)); // the collector's words, most often read in a terminal
  return c.body(text, health === "failing" ? 503 : 200, { "Content-Type": "application/json" });
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

/** Undefined when the queue's file cannot be read: then the counts of its failures must be seen all the same. */
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

/** What the collector said may hold parts of events. */
function describeProblem(problem: PublisherProblem | undefined, isTrusted: boolean): object | null {
  if (problem === undefined) return null;
  return { at: isoTime(problem.atMs), kind: problem.kind, message: isTrusted ? problem.message : NOT_SHOWN };
}

const NOT_SHOWN = "not shown without admin.token, or to other users of this machine";
