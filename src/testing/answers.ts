/**
 * How a fake collector answers: the faults that real ones have.
 *
 * @module
 */
import type { IncomingHttpHeaders } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { BatchVersion } from "../collector/sinks/sink.ts";
import { formatReport } from "../wire/rejections.ts";
import { formatRetryAfter, RETRY_AFTER_HEADER } from "../wire/retry_after.ts";

/** A batch that came with a good signature. */
export interface CollectedRequest {
  /** The events, each as `JSON.parse` reads it; integers beyond 2^53 have lost digits. */
  readonly events: readonly unknown[];
  /** The header that names them, such as `QUEUE_UUID:101-350`: the same on every attempt. Empty if there is none. */
  readonly eventIds: string;
  /** The format: `2` or `2j`. */
  readonly version: BatchVersion;
  /** The path it was sent to. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** The size of the body before compression, in bytes. */
  readonly bytes: number;
  /** When it was read, by `performance.now()`, in milliseconds. */
  readonly atMs: number;
  /** What it was answered; undefined until then, and if the connection was cut instead. */
  readonly status: number | undefined;
}

/** An answer to a batch. Its events are received if the status is a 2xx, or if others are named in `rejected`. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** The indexes of the events that are not received, while the others are. */
  readonly rejected?: readonly number[];
  /** Cuts the connection where the answer should come. */
  readonly cut?: boolean;
}

/** Decides on a batch; `nth` counts the requests of the collector from 0. */
export type Script = (request: CollectedRequest, nth: number) => Answer | Promise<Answer>;

/** Takes everything. */
export const accept: Script = () => ({ status: 200 });

/** Takes nothing, and never answers: the publisher waits for its `collector.timeout`. */
export const hang: Script = () => new Promise<never>(() => {});

/** Takes nothing, and cuts the connection. */
export const reset: Script = () => ({ status: 0, cut: true });

/** Takes everything, but its answer is lost: the publisher cannot know, and sends the same events again. */
export const loseAnswer: Script = () => ({ status: 200, cut: true });

/**
 * Answers with a status. 408, 425, 429 and 5xx mean "later", 400, 413 and 422 "not these events", others that
 * something is wrong with the publisher's configuration.
 */
export function status(status: number, body: string = ""): Script {
  return () => ({ status, body });
}

/** Asks to be left alone for so many seconds. @param code the status; default 503 */
export function retryAfter(seconds: number, code: number = 503): Script {
  return () => ({ status: code, headers: { [RETRY_AFTER_HEADER]: formatRetryAfter(seconds) } });
}

/** Answers after so many milliseconds, as `then` does; by default it accepts. */
export function slow(delayMs: number, then: Script = accept): Script {
  return async (request, nth) => {
    await sleep(delayMs, undefined, { ref: false });
    return then(request, nth);
  };
}

/**
 * Rejects each batch with an event of which `isBad` is true, and takes the others. The publisher halves such a
 * batch down to that event, which becomes a dead letter. @param code the status; default 422
 */
export function reject(isBad: (event: never) => boolean, code: number = 422): Script {
  return ({ events }) => ({ status: events.some((event) => isBad(event as never)) ? code : 200 });
}

/**
 * Takes the events of a batch of which `isBad` is not true, and names the others in a 422, as our collector does:
 * the publisher makes exactly those dead letters.
 */
export function rejectNamed(
  isBad: (event: never) => boolean,
  error: string = "rejected by the test",
): Script {
  return ({ events }) => {
    const rejected = events.flatMap((event, index) => (isBad(event as never) ? [index] : []));
    if (rejected.length === 0) return { status: 200 };
    const accepted = events.length - rejected.length;
    const body = formatReport({ accepted, rejected: rejected.map((index) => ({ index, error })) });
    return { status: 422, rejected, body };
  };
}

/** Answers 413 to batches of more than so many bytes before compression, and takes the others. */
export function maxBytes(limit: number): Script {
  return ({ bytes }) => ({ status: bytes > limit ? 413 : 200 });
}

/** Does as `first` for so many requests, and from then on as `then`; by default it accepts. */
export function times(count: number, first: Script, then: Script = accept): Script {
  let asked = 0;
  return (request, nth) => (asked++ < count ? first : then)(request, nth);
}
