/**
 * Responses of a {@link FakeCollector}: those of a collector that works, and the failures of real ones.
 *
 * @module
 */
import type { IncomingHttpHeaders } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { RequestVersion } from "../collector/sinks/sink.ts";
import { formatReport } from "../wire/rejections.ts";
import { formatRetryAfter, RETRY_AFTER_HEADER } from "../wire/retry_after.ts";

/** A batch with a valid signature. */
export interface CollectedRequest {
  /** The events, each as `JSON.parse` returns it: integers beyond 2^53 have lost digits. */
  readonly events: readonly unknown[];
  /** The header `Event-Ids`, such as `QUEUE_UUID:101-350`; the same on every attempt. Empty if there is none. */
  readonly eventIds: string;
  /** The format: `2` or `2j`. */
  readonly version: RequestVersion;
  /** The path of the request. */
  readonly path: string;
  /** The headers of the request, with names in lower case. */
  readonly headers: IncomingHttpHeaders;
  /** The size of the body before compression, in bytes. */
  readonly bytes: number;
  /** When the body was read, by `performance.now()`, in milliseconds. */
  readonly atMs: number;
  /** The status of the response; undefined before it, and if the connection was cut instead. */
  readonly status: number | undefined;
}

/** A response to a batch. The events count as received if the status is 2xx; with `rejected`, all others do. */
export interface FakeResponse {
  /** The HTTP status. */
  readonly status: number;
  /** Headers of the response. Default: none. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The text of the response. Default: empty. */
  readonly body?: string;
  /** The indexes of the events that are rejected, while the others are accepted. */
  readonly rejected?: readonly number[];
  /** Whether to cut the connection instead of responding. Default: false. */
  readonly cut?: boolean;
}

/** Decides the response to a batch. `nth` counts the requests of the collector from 0. */
export type Responder = (request: CollectedRequest, nth: number) => FakeResponse | Promise<FakeResponse>;

/** Accepts every event. */
export function accept(): Responder {
  return () => ({ status: 200 });
}

/** Never responds, and accepts nothing: the publisher waits for its `collector.timeout`. */
export function hang(): Responder {
  return () => new Promise<never>(() => {});
}

/** Cuts the connection, and accepts nothing. */
export function reset(): Responder {
  return () => ({ status: 0, cut: true });
}

/** Accepts every event, and cuts the connection: the publisher gets no response, and sends the same events again. */
export function lose(): Responder {
  return () => ({ status: 200, cut: true });
}

/**
 * Responds with a status. A publisher sends again after 408, 425, 429 and 5xx, looks for bad events after 400, 413 and
 * 422, and takes other statuses for a wrong configuration.
 */
export function status(status: number, body: string = ""): Responder {
  return () => ({ status, body });
}

/** Asks for a pause in seconds, with `Retry-After`. @param code the status. Default: 503 */
export function retryAfter(seconds: number, code: number = 503): Responder {
  return () => ({ status: code, headers: { [RETRY_AFTER_HEADER]: formatRetryAfter(seconds) } });
}

/** Responds as `then` does, after a number of milliseconds. Default: it accepts. */
export function delay(delayMs: number, then: Responder = accept()): Responder {
  return async (request, nth) => {
    await sleep(delayMs, undefined, { ref: false });
    return then(request, nth);
  };
}

/**
 * Rejects each batch that holds a bad event, and accepts other batches. The publisher halves such a batch until the bad
 * event is alone; that one becomes a dead letter. @param code the status. Default: 422
 */
export function reject(isBad: (event: never) => boolean, code: number = 422): Responder {
  return ({ events }) => ({ status: events.some((event) => isBad(event as never)) ? code : 200 });
}

/**
 * Lists the bad events in a 422, and accepts the others, as eventspool's collector does. Exactly the bad ones become
 * dead letters. @param error what is wrong with each, in the response
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

/** Responds as `first` does to a number of requests, and then as `then` does. Default: it accepts. */
export function times(count: number, first: Responder, then: Responder = accept()): Responder {
  let asked = 0;
  return (request, nth) => (asked++ < count ? first : then)(request, nth);
}
