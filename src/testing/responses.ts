/**
 * How a {@link FakeCollector} responds: as a collector that works, or with the faults that real ones have.
 *
 * @module
 */
import type { IncomingHttpHeaders } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { RequestVersion } from "../collector/sinks/sink.ts";
import { formatReport } from "../wire/rejections.ts";
import { formatRetryAfter, RETRY_AFTER_HEADER } from "../wire/retry_after.ts";

/** A batch that came with a good signature. */
export interface CollectedRequest {
  /** The events, each as `JSON.parse` reads it; integers beyond 2^53 have lost digits. */
  readonly events: readonly unknown[];
  /** The header that names them, such as `QUEUE_UUID:101-350`: the same on every attempt. Empty if there is none. */
  readonly eventIds: string;
  /** The format: `2` or `2j`. */
  readonly version: RequestVersion;
  /** The path it was sent to. */
  readonly path: string;
  /** The request's headers, with names in lower case. */
  readonly headers: IncomingHttpHeaders;
  /** The size of the body before compression, in bytes. */
  readonly bytes: number;
  /** When it was read, by `performance.now()`, in milliseconds. */
  readonly atMs: number;
  /** The status of the response; undefined until then, and if the connection was cut instead. */
  readonly status: number | undefined;
}

/** A response to a batch. Its events are received if the status is a 2xx, or if others are named in `rejected`. */
export interface FakeResponse {
  /** The HTTP status. */
  readonly status: number;
  /** Headers of the response. Default: none. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The text of the response. Default: empty. */
  readonly body?: string;
  /** The indexes of the events that are not received, while the others are. */
  readonly rejected?: readonly number[];
  /** Whether the connection is cut instead of a response. Default false. */
  readonly cut?: boolean;
}

/** Responds to a batch; `nth` counts the requests of the collector from 0. */
export type Responder = (request: CollectedRequest, nth: number) => FakeResponse | Promise<FakeResponse>;

/** Accepts every event. */
export function accept(): Responder {
  return () => ({ status: 200 });
}

/** Accepts nothing and never responds: the publisher waits for its `collector.timeout`. */
export function hang(): Responder {
  return () => new Promise<never>(() => {});
}

/** Accepts nothing and cuts the connection. */
export function reset(): Responder {
  return () => ({ status: 0, cut: true });
}

/** Accepts every event, but the response is lost: the publisher cannot know, and sends the same events again. */
export function lose(): Responder {
  return () => ({ status: 200, cut: true });
}

/**
 * Responds with a status. 408, 425, 429 and 5xx mean "later", 400, 413 and 422 "not these events", others that
 * something is wrong with the publisher's configuration.
 */
export function status(status: number, body: string = ""): Responder {
  return () => ({ status, body });
}

/** Asks to be left alone for a number of seconds, with `Retry-After`. @param code the status; default 503 */
export function retryAfter(seconds: number, code: number = 503): Responder {
  return () => ({ status: code, headers: { [RETRY_AFTER_HEADER]: formatRetryAfter(seconds) } });
}

/** Responds after a number of milliseconds, as `then` does; by default it accepts. */
export function delay(delayMs: number, then: Responder = accept()): Responder {
  return async (request, nth) => {
    await sleep(delayMs, undefined, { ref: false });
    return then(request, nth);
  };
}

/**
 * Rejects each batch with an event of which `isBad` is true, and accepts the others. The publisher halves such a
 * batch down to that event, which becomes a dead letter. @param code the status; default 422
 */
export function reject(isBad: (event: never) => boolean, code: number = 422): Responder {
  return ({ events }) => ({ status: events.some((event) => isBad(event as never)) ? code : 200 });
}

/**
 * Rejects the events of which `isBad` is true, naming them in a 422, and accepts the others, as eventspool's collector
 * does: exactly those become dead letters. @param error what is wrong with each, in the response
 */
export function rejectNamed(
  isBad: (event: never) => boolean,
  error: string = "rejected by the test",
): Responder {
  return ({ events }) => {
    const rejected = events.flatMap((event, index) => (isBad(event as never) ? [index] : []));
    const report = {
      accepted: events.length - rejected.length,
      duplicates: 0,
      rejected: rejected.map((index) => ({ index, error })),
    };
    return { status: rejected.length === 0 ? 200 : 422, rejected, body: formatReport(report) };
  };
}

/** Responds 413 to batches of more than `limit` bytes before compression, and accepts the others. */
export function maxBytes(limit: number): Responder {
  return ({ bytes }) => ({ status: bytes > limit ? 413 : 200 });
}

/** Responds as `first` does to a number of requests, and from then on as `then` does; by default it accepts. */
export function times(count: number, first: Responder, then: Responder = accept()): Responder {
  let asked = 0;
  return (request, nth) => (asked++ < count ? first : then)(request, nth);
}
