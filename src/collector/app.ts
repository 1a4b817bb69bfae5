/**
 * The HTTP side of an event collector. A request passes the files of this folder in this order: signature, admission,
 * body, batch_parser, ingest, and a sink.
 */
import { type Context, Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import {
  DEFAULT_MAX_PENDING_BYTES,
  DEFAULT_MAX_REQUEST_EVENTS,
  DEFAULT_MAX_REQUESTS,
} from "../config/collector_defaults.ts";
import {
  BOOLEAN,
  checkOptions,
  either,
  FUNCTION,
  type OptionKind,
  type OptionKinds,
  wholeFrom,
} from "../options.ts";
import { MAX_BATCH_BYTES } from "../wire/batch_format.ts";
import { EVENT_IDS_HEADER } from "../wire/event_ids.ts";
import { type BatchReport, errorOf, formatReport, MALFORMED } from "../wire/rejections.ts";
import { formatRetryAfter, RETRY_AFTER_HEADER } from "../wire/retry_after.ts";
import { admit, assertOpen, Intake, ServiceUnavailable } from "./admission.ts";
import { type EventValidator, type ParsedEvents, parseEvents, validateEvents } from "./batch_parser.ts";
import { ACCEPTED_ENCODINGS, readBody } from "./body.ts";
import { ingest } from "./ingest.ts";
import { logRejection } from "./log.ts";
import { checkKeys, type Keys, requireSignature, verifyEventIds, verifySignature } from "./signature.ts";
import type { RequestVersion, Sink } from "./sinks/sink.ts";
import { type CollectOutcome, CollectorStatus, STATUS } from "./status.ts";

/** Options of {@link collector}. */
export interface CollectorOptions {
  /** The keys, or their secrets, by name. A function is called for each request, so that the keys can change. */
  readonly keys: Keys | (() => Keys);
  /** Stores the events. The publisher gets its response once `store` resolves. */
  readonly sink: Pick<Sink, "store" | "risks">;
  /** The state for {@link collectorAdmin}. Default: none is shown. */
  readonly status?: CollectorStatus | undefined;
  /** The largest body before compression, in bytes. Default: 512,000. */
  readonly maxBodyBytes?: number | undefined;
  /** The most events per request. Default: 100,000. */
  readonly maxEvents?: number | undefined;
  /**
   * The most bytes of decompressed bodies that are being stored. At this limit requests get a 503 before they are read.
   * Bodies that are being read have a budget of the same size, at least 16 MiB. Default: 64 MiB.
   */
  readonly maxPendingBytes?: number | undefined;
  /** The most requests that are stored at once. The server limits those that are being read. Default: 256. */
  readonly maxRequests?: number | undefined;
  /** Whether to serve `POST /v1`. Default: false. */
  readonly v1?: boolean | undefined;
  /**
   * Whether the events of `POST /v2` must be Thrift structs, and those of `POST /v2j` must not be. If false, `/v2`
   * takes any object, and `/v2j` any JSON. Default: true.
   */
  readonly checkStructs?: boolean | undefined;
  /** A check of each event, for example of {@link schemaValidator}. Default: none. */
  readonly validate?: EventValidator | undefined;
}

const KEYS: OptionKind = { expected: "a Map of secrets", matches: (value) => value instanceof Map };

const SINK: OptionKind = {
  expected: "a sink, with a method store",
  matches: (value) => typeof (value as Partial<Sink> | null | undefined)?.store === "function",
};

const OPTION_KINDS: OptionKinds<CollectorOptions> = {
  keys: either(KEYS, FUNCTION),
  sink: SINK,
  status: STATUS,
  maxBodyBytes: wholeFrom(1),
  maxEvents: wholeFrom(1),
  maxPendingBytes: wholeFrom(0),
  maxRequests: wholeFrom(0),
  v1: BOOLEAN,
  checkStructs: BOOLEAN,
  validate: FUNCTION,
};

/** The options with their defaults, and the state of the app. */
interface Collecting extends CollectorOptions {
  readonly status: CollectorStatus;
  readonly intake: Intake;
  readonly keysNow: () => Keys;
}

/**
 * A collector as a Hono app, with `POST /v2`, `POST /v2j`, optionally `POST /v1`, `GET /livez` and `GET /readyz`. The
 * response to a batch is 200 with `{"accepted": 3, "duplicates": 0}` if all events are stored, now or before. Otherwise
 * it is `{"error": "..."}` with
 *
 * - 400, and `"code": "malformed"`: the body is not gzip, not JSON, or not a batch
 * - 403: no signature, an unknown key or a wrong MAC; no valid `Event-Ids` if the key requires them
 * - 408: the body arrives too slowly
 * - 413: the body is too long, or holds too many events
 * - 415: a Content-Encoding other than gzip and zstd
 * - 422: some events are rejected, listed in `rejected` as `{"index": 3, "error": "..."}`. The others are stored, and
 *   `accepted` is their number. Without `rejected`: too many for a list, and nothing was stored
 * - 503: not stored, overloaded, or the connection ended early. Send it again after `Retry-After`
 * - 500: `validate` or `keys` threw, middleware has read the body, or the collector failed. Send it again
 *
 * A failure of the collector, or of the app around it, never gets a status that blames the events (400, 404, 413, 422):
 * publishers would make dead letters of them.
 *
 * @throws {ConfigurationError} an option is not valid
 *
 * @example
 * ```ts
 * app.route("/events", collector({ keys: new Map([["main", secret]]), sink }));
 * ```
 */
export function collector(options: CollectorOptions): Hono {
  const checked = checkOptions(options, OPTION_KINDS, ["keys", "sink"]);
  if (typeof checked.keys !== "function") checkKeys(checked.keys);
  const status = checked.status ?? new CollectorStatus();
  status.limits = {
    maxPendingBytes: checked.maxPendingBytes ?? DEFAULT_MAX_PENDING_BYTES,
    maxRequests: checked.maxRequests ?? DEFAULT_MAX_REQUESTS,
  };
  const collecting: Collecting = {
    ...checked,
    status,
    intake: new Intake(status),
    keysNow: () => keysOf(checked),
  };
  collecting.status.sinkRisks = () => checked.sink.risks ?? [];
  const app = new Hono();
  for (const version of versionsOf(checked)) {
    const paths = [`/v${version}`, `/v${version}/`];
    app.on("POST", paths, (c) => collect(c, version, collecting).catch((error) => reject(error, c, status)));
    app.on(OTHER_METHODS, paths, (c) => c.json({ error: "Use POST." }, 405, { Allow: "POST" }));
  }
  addProbes(app, status);
  const paths = versionsOf(checked).map((version) => `/v${version}`);
  app.notFound((c) =>
    c.json({ error: `Not found. The routes are POST ${paths.join(", ")}, GET /livez and /readyz.` }, 404),
  );
  app.onError((cause, c) => reject(new Error(cause.message, { cause }), c, status)); // thrown by middleware: see collect
  return app;
}

const OTHER_METHODS = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"];

/** @throws {HTTPException} 500 */
function keysOf({ keys }: CollectorOptions): Keys {
  if (typeof keys !== "function") return keys;
  try {
    const current = keys();
    checkKeys(current);
    return current;
  } catch (cause) {
    throw new HTTPException(500, {
      message: "The collector failed to load its keys. Send it again.",
      cause,
    });
  }
}

function versionsOf({ v1 = false }: CollectorOptions): RequestVersion[] {
  return v1 ? ["2", "2j", "1"] : ["2", "2j"];
}

/** Adds `GET /livez`, 200 while the process responds, and `GET /readyz`, 503 while it should get no batches. */
export function addProbes(app: Hono, status: CollectorStatus): void {
  app.on("GET", ["/livez", "/livez/"], (c) => c.json({ status: "ok" }));
  app.on("GET", ["/readyz", "/readyz/"], (c) => {
    const { isReady, isSaturated } = status;
    const word = isSaturated ? "saturated" : "not ready";
    return c.json({ status: isReady ? "ready" : word }, isReady ? 200 : 503);
  });
}

async function collect(c: Context, version: RequestVersion, collecting: Collecting): Promise<Response> {
  const { headers } = c.req.raw;
  const { status, keysNow } = collecting;
  const signature = requireSignature(headers, keysNow());
  assertOpen(status);
  const body = await read(c, collecting);
  const keys = keysNow();
  const key = verifySignature(body, signature, keys);
  const { keyName } = signature;
  using _admission = admit(status, { keyName, bytes: body.length, keyCount: keys.size });
  status.countsOf(keyName).bytes += body.length;
  const parsed = parse(body, version, collecting);
  const ids = verifyEventIds(headers, { key, signature, eventCount: parsed.events.count, status });
  const report = await ingest(parsed, { version, keyName, source: key.source, ids }, collecting);
  const eventIds = headers.get(EVENT_IDS_HEADER) ?? "";
  if (ids !== undefined && eventIds.length <= MAX_RETURNED_IDS_BYTES) c.header(EVENT_IDS_HEADER, eventIds);
  return respond(c, report, status);
}

async function read(c: Context, { intake, maxBodyBytes }: Collecting): Promise<Uint8Array> {
  using reading = intake.begin(addressOf(c));
  return await readBody(c.req.raw, maxBodyBytes ?? MAX_BATCH_BYTES, reading);
}

/** The address of the client, if the server passes Node's objects, as ours does. */
function addressOf(c: Context): string {
  const { incoming } = (c.env ?? {}) as { incoming?: { socket?: { remoteAddress?: string } } };
  return incoming?.socket?.remoteAddress ?? "";
}

/** Finds the events in the body, and checks each. */
function parse(body: Uint8Array, version: RequestVersion, collecting: Collecting): ParsedEvents {
  const { maxEvents = DEFAULT_MAX_REQUEST_EVENTS, checkStructs, validate } = collecting;
  const parsed = parseEvents(body, version, { maxEvents, checkStructs });
  if (validate) validateEvents(parsed, validate);
  return parsed;
}

/** The longest `Event-Ids` of a response, in bytes: nginx takes headers of 4 KiB from a server, and responds 502 to more. */
const MAX_RETURNED_IDS_BYTES = 1_024;

/** Proxies can be made to cache what is POSTed. Then publishers would get the response to another batch. */
const NOT_CACHED = { "Cache-Control": "no-store" };

function respond(c: Context, report: BatchReport, status: CollectorStatus): Response {
  const isAccepted = report.rejected?.length === 0;
  const body = formatReport(report);
  status.requests[isAccepted ? "accepted" : "partly_rejected"]++;
  if (!isAccepted)
    logRejection({ status: 422, message: errorOf(report), path: c.req.path, cause: undefined });
  const headers = {
    ...NOT_CACHED,
    "Content-Type": "application/json",
    "Accept-Encoding": ACCEPTED_ENCODINGS,
  };
  return c.body(body, isAccepted ? 200 : 422, headers);
}

/** An error that is not an HTTPException is a failure of the collector: a 500, so that the batch is sent again. */
function reject(error: Error, c: Context, status: CollectorStatus): Response {
  const rejection =
    error instanceof HTTPException
      ? error
      : new HTTPException(500, { message: "The collector failed. Send it again.", cause: error });
  status.requests[outcomeOf(rejection)]++;
  const { message, cause } = rejection;
  logRejection({ status: rejection.status, message, path: c.req.path, cause });
  const isUnavailable = rejection instanceof ServiceUnavailable;
  const headers = {
    ...NOT_CACHED,
    ...(isUnavailable && { [RETRY_AFTER_HEADER]: formatRetryAfter(rejection.retryAfterS) }),
  };
  const code = rejection.status === 400 ? { code: MALFORMED } : {};
  return c.json({ error: message, ...code }, rejection.status, headers);
}

function outcomeOf(rejection: HTTPException): CollectOutcome {
  if (rejection instanceof ServiceUnavailable) return rejection.outcome;
  return OUTCOMES[rejection.status] ?? "failed";
}

const OUTCOMES: Readonly<Record<number, CollectOutcome>> = {
  400: "malformed",
  403: "unauthorized",
  408: "too_slow",
  413: "too_large",
  415: "malformed",
  422: "partly_rejected",
};
