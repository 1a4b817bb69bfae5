/** Counting the events that puts reject. */
import process from "node:process";
import { setTimeout } from "node:timers";
import { EventError, EventQueueFullError, EventStorageError, EventTooLargeError } from "../errors.ts";
import type { RejectionReason } from "../storage/events.ts";
import { isThenable } from "./encode.ts";

/** How often counts are added to those in the file, in milliseconds. */
const FLUSH_EVERY_MS = 1_000;

/**
 * Called for the events that a put rejects, before the put throws. If the hook throws or rejects, the process emits a
 * warning, and the put does not change.
 *
 * @param error what the put throws; `error.code` says why
 * @param count how many events were rejected: 1, all of a `putMany`, or several of `putAsync` for the same reason
 */
export type OnRejected = (error: EventError, count: number) => void;

/** Stores counts. If it throws, they stay in memory and are tried again. */
type AddRejected = (counts: ReadonlyMap<RejectionReason, number>) => void;

/**
 * Counts rejected events in memory and adds them to the queue's file about once a second, so that the publisher reports
 * them. A write for each would make a full queue slower than one with room. A process that is killed loses the counts of
 * its last second.
 */
export class RejectedPuts {
  readonly #add: AddRejected;
  readonly #onRejected: OnRejected | undefined;
  #counts = new Map<RejectionReason, number>();
  #flushAtMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(add: AddRejected, onRejected?: OnRejected) {
    this.#add = add;
    this.#onRejected = onRejected;
  }

  /** Counts `events` events that were rejected with `error`. */
  count(error: unknown, events: number = 1): void {
    if (this.#onRejected !== undefined && EventError.is(error)) tell(this.#onRejected, error, events);
    if (this.#closed) return; // too late for the file
    const reason = reasonOf(error);
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + events);
    const nowMs = performance.now();
    if (this.#timer === undefined) this.#schedule(nowMs);
    else if (nowMs >= this.#flushAtMs) this.flush(); // for a service that never returns to its event loop
  }

  /** Adds the counts to the file. If that fails, for example on a full disk, they stay for the next time. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#counts.size === 0) return;
    try {
      this.#add(this.#counts);
      this.#counts = new Map();
    } catch {
      this.#schedule(performance.now()); // the put that failed has reported it
    }
  }

  /** Adds the counts to the file, if possible, and stops. */
  close(): void {
    this.#closed = true;
    this.flush();
    clearTimeout(this.#timer);
  }

  #schedule(nowMs: number): void {
    this.#flushAtMs = nowMs + FLUSH_EVERY_MS;
    this.#timer = setTimeout(() => this.flush(), FLUSH_EVERY_MS).unref(); // does not keep the service alive
  }
}

function tell(onRejected: OnRejected, error: EventError, count: number): void {
  try {
    const result: unknown = onRejected(error, count);
    if (isThenable(result)) void Promise.resolve(result).catch(warn);
  } catch (thrown) {
    warn(thrown);
  }
}

function warn(thrown: unknown): void {
  process.emitWarning(`The hook onRejected failed: ${thrown}`, "EventspoolWarning");
}

function reasonOf(error: unknown): RejectionReason {
  if (error instanceof EventQueueFullError) return "full";
  if (error instanceof EventTooLargeError) return "too_large";
  return error instanceof EventStorageError ? "storage" : "invalid";
}
