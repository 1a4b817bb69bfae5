/**
 * An event collector: takes the batches a publisher sends, checks that they are signed, and has
 * the events stored. A request passes the files of this folder in order: signature, body, events,
 * and a sink.
 *
 * @module
 */

import { getLogger } from "@logtape/logtape";
import { type Context, Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { MAX_BATCH_BYTES } from "../limits.ts";
import { readBody } from "./body.ts";
import { type BatchVersion, parseEvents } from "./events.ts";
import { type Keys, parseSignature, verifySignature } from "./signature.ts";

/** What a collector knows of a batch besides its events. */
export interface BatchMeta {
  /** The format it was sent in. */
  readonly version: BatchVersion;
  /** The name of the key that signed it. */
  readonly keyName: string;
  /**
   * The `Event-Ids` header, such as `QUEUE_UUID:101-350,352-400`: it names each event, in order,
   * the same on every attempt. Undefined when the publisher sent none, as baseplate.py's does.
   */
  readonly eventIds: string | undefined;
}

/** Options of {@link collector}. */
export interface CollectorOptions {
  /** The secrets by the names of their keys. */
  readonly keys: Keys;
  /**
   * Stores a batch: each event is its JSON text exactly as sent. The publisher is told that its
   * events arrived once this returns or resolves; when it throws, it is asked to send them again.
   */
  readonly store: (events: readonly string[], meta: BatchMeta) => void | Promise<void>;
  /** The longest body before compression, in bytes; default 512,000. */
  readonly maxBodyBytes?: number | undefined;
}

const logger = getLogger(["eventspool", "collector"]);

/**
 * The collector as a Hono app with `POST /v2` and `POST /v2j`. It answers 200 `{"accepted": N}`,
 * or `{"error": "..."}` with 400 (not gzip, not JSON, not a batch), 403 (no signature, an unknown
 * key, a wrong MAC), 404, 405, 413 (too long) or 503 (not stored: send it again).
 */
export function collector(options: CollectorOptions): Hono {
  const app = new Hono();
  for (const version of ["2", "2j"] as const) {
    app.post(`/v${version}`, (c) => collect(c, version, options));
    app.all(`/v${version}`, (c) => c.json({ error: "Use POST." }, 405, { Allow: "POST" }));
  }
  app.notFound((c) => c.json({ error: "There are /v2 and /v2j." }, 404));
  app.onError(refuse);
  return app;
}

async function collect(c: Context, version: BatchVersion, options: CollectorOptions): Promise<Response> {
  const signature = parseSignature(c.req.header("x-signature"));
  const body = await readBody(c.req.raw, options.maxBodyBytes ?? MAX_BATCH_BYTES);
  verifySignature(body, signature, options.keys);
  const events = parseEvents(body, version);
  const meta = { version, keyName: signature.keyName, eventIds: c.req.header("event-ids") };
  await store(options, events, meta);
  logger.debug("Accepted {count} events", { count: events.length, ...meta });
  return c.json({ accepted: events.length });
}

async function store({ store }: CollectorOptions, events: string[], meta: BatchMeta): Promise<void> {
  try {
    await store(events, meta);
  } catch (cause) {
    throw new HTTPException(503, { message: "The events were not stored. Send them again.", cause });
  }
}

/** What is not an HTTPException here is the network's: the request broke off while it was read. */
function refuse(error: Error, c: Context): Response {
  const refusal =
    error instanceof HTTPException
      ? error
      : new HTTPException(400, { message: "The request could not be read.", cause: error });
  const { status, message, cause } = refusal;
  const properties = { status, message, path: c.req.path, cause };
  if (status >= 500) logger.error("Failed a batch with {status}: {message}", properties);
  else logger.warn("Refused a batch with {status}: {message}", properties);
  return c.json({ error: message }, status);
}
