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
} from "../config/collector_config.ts";
import {
  BOOLEAN,
  checkOption,
  checkOptions,
  either,
  FUNCTION,
  OBJECT,
  type OptionKind,
  type OptionKinds,
  wholeFrom,
} from "../options.ts";
import { MAX_BATCH_BYTES } from "../wire/batch_format.ts";
import { type BatchReport, errorOf, formatReport, MALFORMED } from "../wire/rejections.ts";
import { formatRetryAfter, RETRY_AFTER_HEADER } from "../wire/retry_after.ts";
import { admit, assertOpen, Intake, ServiceUnavailable } from "./admission.ts";
import { ACCEPTED_ENCODINGS, readBody } from "./body.ts";
import { type ParsedEvents, parseEvents } from "./events.ts";
import { ingest } from "./ingest.ts";
import { logRejection } from "./log.ts";
import { type Keys, requireSignature, verifyEventIds, verifySignature } from "./signature.ts";
import type { RequestVersion, Sink } from "./sinks/sink.ts";
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
   * requests are answered 503 before they are read. As many bytes may be on their way in.
   */
  readonly maxPendingBytes?: number | undefined;
  /** How many requests may be stored at once; default 256. Those that are being read are bounded by the server. */
  readonly maxRequests?: number | undefined;
  /** Whether `POST /v1` is there; default false. */
  readonly v1?: boolean | undefined;
  /** Whether each event of version 2 must be a Thrift struct, else any object is taken; default true. */
  readonly checkStructs?: boolean | undefined;
  /** The app's own check of each event, such as {@link schemaValidator} makes; default: none. */
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
  status: OBJECT,
  maxBodyBytes: wholeFrom(1),
  maxEvents: wholeFrom(1),
  maxPendingBytes: wholeFrom(0),
  maxRequests: wholeFrom(0),
  v1: BOOLEAN,
  checkStructs: BOOLEAN,
  validate: FUNCTION,
};

/** The options, and what is made of them once. */
interface Collecting extends CollectorOptions {
  readonly status: CollectorStatus;
  readonly intake: Intake;
  readonly keysNow: () => Keys;
}

/**
 * A Hono app with `POST /v2` and `POST /v2j`, and `/v1` if wanted, `GET /livez` and `GET /readyz`. A batch is answered
 * 200 `{"accepted": 3, "duplicates": 0}`: all its events are kept, some of them perhaps before. Otherwise with
 * `{"error": "..."}` and
 *
 * - 400, with `"code": "malformed"`: not gzip, not JSON, not a batch
 * - 403: no signature, an unknown key, a wrong MAC; no usable `Event-Ids`, where the key requires them
 * - 408: it arrives too slowly
 * - 413: too long, or too many events
 * - 415: another Content-Encoding than gzip and zstd
 * - 422: some events are at fault, and `rejected`, a list of `{"index": 3, "error": "..."}`, says which; the others
 *   are kept, and are the `accepted`. Without `rejected`: too many for a list, and nothing was kept
 * - 503: not kept, too much to do, or broken off; to be sent again after `Retry-After`
 * - 500: `validate` or `keys` threw, someone else has read the body, or something else is wrong here; to be sent again
 *
 * What is wrong with us, or with the app that it is mounted in, is never answered as a fault of the events (400, 404,
 * 413, 422): publishers would make dead letters of them.
 *
 * @example
 * ```ts
 * app.route("/events", collector({ keys: new Map([["main", secret]]), sink }));
 * ```
 */
export function collector(options: CollectorOptions): Hono {
  checkOptions(options, OPTION_KINDS);
  checkOption("keys", options.keys, OPTION_KINDS.keys);
  checkOption("sink", options.sink, OPTION_KINDS.sink);
  const status = options.status ?? new CollectorStatus();
  status.limits = {
    maxPendingBytes: options.maxPendingBytes ?? DEFAULT_MAX_PENDING_BYTES,
    maxRequests: options.maxRequests ?? DEFAULT_MAX_REQUESTS,
  };
  const collecting: Collecting = {
    ...options,
    status,
    intake: new Intake(status),
    keysNow: () => keysOf(options),
  };
  collecting.status.sinkRisks = () => options.sink.risks ?? [];
  const app = new Hono();
  for (const version of versionsOf(options)) {
    const paths = [`/v${version}`, `/v${version}/`];
    app.on("POST", paths, (c) => collect(c, version, collecting).catch((error) => reject(error, c, status)));
    app.on(OTHER_METHODS, paths, (c) => c.json({ error: "Use POST." }, 405, { Allow: "POST" }));
  }
  addProbes(app, status);
  const paths = versionsOf(options).map((version) => `/v${version}`);
  app.notFound((c) => c.json({ error: `There are POST ${paths.join(", ")}, GET /livez and /readyz.` }, 404));
  app.onError((cause, c) => reject(new Error(cause.message, { cause }), c, status)); // not ours: see collect
  return app;
}

const OTHER_METHODS = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"];

/** @throws {HTTPException} 500 */
function keysOf({ keys }: CollectorOptions): Keys {
  try {
    return typeof keys === "function" ? keys() : keys;
  } catch (cause) {
    throw new HTTPException(500, {
      message: "The collector has no keys at the moment. Send it again.",
      cause,
    });
  }
}

function versionsOf({ v1 = false }: CollectorOptions): RequestVersion[] {
  return v1 ? ["2", "2j", "1"] : ["2", "2j"];
}

/** Adds `GET /livez`: 200 while the process answers, and `GET /readyz`: 503 while it should get no batches. */
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
  status.of(keyName).bytes += body.length;
  const parsed = check(body, version, collecting);
  const ids = verifyEventIds(headers, { key, signature, eventCount: parsed.events.count, status });
  return respond(c, await ingest(parsed, { version, keyName, source: key.source, ids }, collecting), status);
}

async function read(c: Context, { intake, maxBodyBytes }: Collecting): Promise<Uint8Array> {
  using reading = intake.begin(addressOf(c));
  return await readBody(c.req.raw, maxBodyBytes ?? MAX_BATCH_BYTES, reading);
}

/** Whose request it is, as far as the server tells: ours does, and whatever else runs on `node:http`. */
function addressOf(c: Context): string {
  const { incoming } = (c.env ?? {}) as { incoming?: { socket?: { remoteAddress?: string } } };
  return incoming?.socket?.remoteAddress ?? "";
}

/** What is in the body, and which of its events are at fault. */
function check(body: Uint8Array, version: RequestVersion, collecting: Collecting): ParsedEvents {
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
  const headers = { "Content-Type": "application/json", "Accept-Encoding": ACCEPTED_ENCODINGS };
  return c.body(body, isAccepted ? 200 : 422, headers);
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
    rejection instanceof ServiceUnavailable
      ? { [RETRY_AFTER_HEADER]: formatRetryAfter(rejection.retryAfterS) }
      : {};
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
