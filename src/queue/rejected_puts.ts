/**
 * Counting the events that puts reject.
 *
 * @module
 */
import { setTimeout } from "node:timers";
import { EventQueueFullError, EventStorageError, EventTooLargeError } from "../errors.ts";
import type { RejectionReason } from "../storage/events.ts";

/** How often counts are added to those in the file, in milliseconds. */
const FLUSH_EVERY_MS = 1_000;

/** Where counts are kept; it may throw, then they are kept here and tried again. */
type AddRejected = (counts: ReadonlyMap<RejectionReason, number>) => void;

/**
 * Counts rejected events in memory and adds them up in the queue's file about once a second, so that the
 * publisher, and who looks at it, learn of them: a write for each would make a full queue slower than one
 * with room. A process that is killed takes the counts of its last second with it.
 */
export class RejectedPuts {
  readonly #add: AddRejected;
  #counts = new Map<RejectionReason, number>();
  #flushAtMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(add: AddRejected) {
    this.#add = add;
  }

  /** Counts `events` events that were rejected with `error`. */
  count(error: unknown, events: number = 1): void {
    if (this.#closed) return; // a grouped put that close() itself has rejected
    const reason = reasonOf(error);
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + events);
    const nowMs = performance.now();
    if (this.#timer === undefined) this.#schedule(nowMs);
    else if (nowMs >= this.#flushAtMs) this.flush(); // a service that never comes back to its event loop
  }

  /** Adds what was counted to the file. Where that fails, on a full disk say, it stays for the next time. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#counts.size === 0) return;
    try {
      this.#add(this.#counts);
      this.#counts = new Map();
    } catch {
      this.#schedule(performance.now()); // the put that failed has told of it
    }
  }

  /** Adds what was counted to the file, if it can be, and stops. */
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

function reasonOf(error: unknown): RejectionReason {
  if (error instanceof EventQueueFullError) return "full";
  if (error instanceof EventTooLargeError) return "too_large";
  return error instanceof EventStorageError ? "storage" : "invalid";
}
