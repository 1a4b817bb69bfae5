/**
 * An event collector: takes the batches a publisher sends, checks that they are signed and of what, and has
 * the events kept. A request passes the files of this folder in order: signature, body, events, and a sink.
 *
 * @module
 */

import { type Context, Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import {
  DEFAULT_MAX_PENDING_BYTES,
  DEFAULT_MAX_REQUEST_EVENTS,
  DEFAULT_MAX_REQUESTS,
  MAX_BATCH_BYTES,
} from "../limits.ts";
import { type BatchReport, errorOf, formatReport, MALFORMED } from "../wire/rejections.ts";
import { formatRetryAfter, RETRY_AFTER_HEADER } from "../wire/retry_after.ts";
import { admit, Unavailable } from "./admission.ts";
import { readBody } from "./body.ts";
import { type ParsedEvents, parseEvents } from "./events.ts";
import { ingest } from "./ingest.ts";
import { logRejection } from "./log.ts";
import { type Keys, requireSignature, verifyEventIds, verifySignature } from "./signature.ts";
import type { BatchVersion } from "./sinks/event_list.ts";
import type { Sink } from "./sinks/sink.ts";
import { type CollectOutcome, CollectorStatus } from "./status.ts";
import { type EventValidator, validateEvents } from "./validate.ts";

/** Options of {@link collector}. */
export interface CollectorOptions {
  /** The keys, or their secrets, by name; a function is asked for each request, so that they can change. */
  readonly keys: Keys | (() => Keys);
  /** Keeps the events. The publisher is told that they arrived once `store` resolves. */
  readonly sink: Pick<Sink, "store" | "risks">;
  /** Counts what is done, for {@link collectorAdmin}. Default: nobody is told. */
  readonly status?: CollectorStatus | undefined;
  /** The longest body before compression, in bytes; default 512,000. */
  readonly maxBodyBytes?: number | undefined;
  /** How many events a request may hold; default 100,000. */
  readonly maxEvents?: number | undefined;
  /**
   * How many bytes of bodies, decompressed, may wait for the sink; default 64 MiB. As long as there are more,
   * requests are answered 503 before they are read.
   */
  readonly maxPendingBytes?: number | undefined;
  /** How many requests may be read and stored at once; default 256. */
  readonly maxRequests?: number | undefined;
  /** Whether `POST /v1` is there; default false. */
  readonly v1?: boolean | undefined;
  /** Whether each event of version 2 must be a Thrift struct, else any object is taken; default true. */
  readonly checkStructs?: boolean | undefined;
  /** The app's own check of each event, such as {@link schemaValidator} makes; default: none. */
  readonly validate?: EventValidator | undefined;
}

/** The options, and what is made of them once. */
interface Collecting extends CollectorOptions {
  readonly status: CollectorStatus;
  readonly keysNow: () => Keys;
}

/**
 * A Hono app with `POST /v2` and `POST /v2j`, and `/v1` if wanted, `GET /livez` and `GET /readyz`. A batch is answered
 * 200 `{"accepted": 3, "duplicates": 0}`: all its events are kept, some of them perhaps before. Otherwise with
 * `{"error": "..."}` and
 *
 * - 400, with `"code": "malformed"`: not gzip, not JSON, not a batch
 * - 403: no signature, an unknown key, a wrong MAC; no usable `Event-Ids`, where the key requires them
 * - 413: too long, or too many events
 * - 422: some events are at fault, and `rejected`, a list of `{"index": 3, "error": "..."}`, says which; the others
 *   are kept, and are the `accepted`. Without `rejected`: too many for a list, and nothing was kept
 * - 503: not kept, or too much to do; to be sent again after `Retry-After`
 * - 500: `validate` threw, or something else is wrong here; to be sent again
 *
 * @example
 * ```ts
 * app.route("/events", collector({ keys: new Map([["main", secret]]), sink }));
 * ```
 */
export function collector(options: CollectorOptions): Hono {
  const { keys } = options;
  const collecting: Collecting = {
    ...options,
    status: options.status ?? new CollectorStatus(),
    keysNow: typeof keys === "function" ? keys : () => keys,
  };
  collecting.status.sinkRisks = () => options.sink.risks ?? [];
  const app = new Hono();
  for (const version of versionsOf(options)) {
    app.post(`/v${version}`, (c) => collect(c, version, collecting));
    app.all(`/v${version}`, (c) => c.json({ error: "Use POST." }, 405, { Allow: "POST" }));
  }
  addProbes(app, collecting.status);
  const paths = versionsOf(options).map((version) => `/v${version}`);
  app.notFound((c) => c.json({ error: `There are POST ${paths.join(", ")}, GET /livez and /readyz.` }, 404));
  app.onError((error, c) => reject(error, c, collecting.status));
  return app;
}

function versionsOf({ v1 = false }: CollectorOptions): BatchVersion[] {
  return v1 ? ["2", "2j", "1"] : ["2", "2j"];
}

/** Adds `GET /livez`: 200 while the process answers, and `GET /readyz`: 503 while it should get no batches. */
export function addProbes(app: Hono, status: CollectorStatus): void {
  app.get("/livez", (c) => c.json({ status: "ok" }));
  app.get("/readyz", (c) => {
    const { isReady } = status;
    return c.json({ status: isReady ? "ready" : "not ready" }, isReady ? 200 : 503);
  });
}

async function collect(c: Context, version: BatchVersion, collecting: Collecting): Promise<Response> {
  const { headers } = c.req.raw;
  const signature = requireSignature(headers, collecting.keysNow());
  const { status, maxPendingBytes, maxRequests } = collecting;
  using admission = admit(status, {
    maxPendingBytes: maxPendingBytes ?? DEFAULT_MAX_PENDING_BYTES,
    maxRequests: maxRequests ?? DEFAULT_MAX_REQUESTS,
  });
  const body = await readBody(c.req.raw, collecting.maxBodyBytes ?? MAX_BATCH_BYTES);
  admission.hold(body.length);
  const key = verifySignature(body, signature, collecting.keysNow());
  const { keyName } = signature;
  status.of(keyName).bytes += body.length;
  const parsed = check(body, version, collecting);
  const ids = verifyEventIds(headers, { key, signature, eventCount: parsed.events.count, status });
  return respond(c, await ingest(parsed, { version, keyName, source: key.source, ids }, collecting), status);
}

/** What is in the body, and which of its events are at fault. */
function check(body: Uint8Array, version: BatchVersion, collecting: Collecting): ParsedEvents {
  const { maxEvents = DEFAULT_MAX_REQUEST_EVENTS, checkStructs, validate } = collecting;
  const parsed = parseEvents(body, version, { maxEvents, checkStructs });
  if (validate) validateEvents(parsed, validate);
  return parsed;
}

function respond(c: Context, report: BatchReport, status: CollectorStatus): Response {
  const isAccepted = report.rejected?.length === 0;
  const body = formatReport(report);
  status.requests[isAccepted ? "accepted" : "partly_rejected"]++;
  if (!isAccepted)
    logRejection({ status: 422, message: errorOf(report), path: c.req.path, cause: undefined });
  return c.body(body, isAccepted ? 200 : 422, { "Content-Type": "application/json" });
}

/** What is not an HTTPException here is a fault of ours: the batch must be sent again, and not be taken for bad. */
function reject(error: Error, c: Context, status: CollectorStatus): Response {
  const rejection =
    error instanceof HTTPException
      ? error
      : new HTTPException(500, { message: "The collector failed.", cause: error });
  status.requests[outcomeOf(rejection)]++;
  const { message, cause } = rejection;
  logRejection({ status: rejection.status, message, path: c.req.path, cause });
  const headers: Record<string, string> =
    rejection instanceof Unavailable ? { [RETRY_AFTER_HEADER]: formatRetryAfter(rejection.retryAfterS) } : {};
  const code = rejection.status === 400 ? { code: MALFORMED } : {};
  return c.json({ error: message, ...code }, rejection.status, headers);
}

function outcomeOf(rejection: HTTPException): CollectOutcome {
  if (rejection instanceof Unavailable) return rejection.outcome;
  return OUTCOMES[rejection.status] ?? "failed";
}

const OUTCOMES: Readonly<Record<number, CollectOutcome>> = {
  400: "malformed",
  403: "unauthorized",
  413: "too_large",
  422: "partly_rejected",
};
