/**
 * A destination: where a publisher takes its events. The publisher leases, waits and settles; a destination delivers one
 * batch and reports the outcome.
 */

/** An event in the queue. */
export interface StoredEvent {
  /** Its id in the queue's file. With the queue's UUID it identifies the event, the same on every attempt. */
  readonly id: number;
  /** When it was put, in Unix milliseconds. */
  readonly putAtMs: number;
  /** Its JSON text in UTF-8, as the service serialized it. */
  readonly body: Uint8Array;
}

/** The events of a lease. */
export interface LeasedBatch {
  /** The queue's name. */
  readonly queue: string;
  /** The UUID of the queue's file. */
  readonly queueUuid: string;
  /** The lowest id that an event of the batch may have. */
  readonly firstId: number;
  /** The highest one. */
  readonly lastId: number;
  /** The number of events, at least one: one per id, unless rows were deleted by hand or events are not sent. */
  readonly count: number;
  /** All events, joined by commas, in a copy that the destination may change. */
  readonly joined: Uint8Array;
  /** The events, in the order of their ids; each call reads them from the file. */
  events(): StoredEvent[];
}

/** A batch that is ready to be sent. */
export interface Delivery {
  /** The size before compression, in bytes. */
  readonly sizeBytes: number;
  /**
   * Delivers the batch once; the publisher decides about retries. Never rejects: a network failure is an outcome too.
   *
   * @param stop when it aborts, a delivery in progress ends as `unavailable`
   */
  send(stop: AbortSignal): Promise<Outcome>;
}

/** Where a publisher sends its events. */
export interface Destination {
  /** Its address for people, such as `https://collector.example/v2`, without secrets. */
  readonly url: string;
  /** How long a delivery may take, in milliseconds. The lease of a dead publisher expires soon after it. */
  readonly timeoutMs: number;
  /** The size of a batch without events, in bytes. */
  readonly emptyBatchBytes: number;
  /** How much an event adds in addition to its own size, in bytes. Default: 1, for a comma. */
  readonly eventOverheadBytes?: number | undefined;
  /** Prepares a batch: all that can be done before the events are synced to the disk. */
  prepare(batch: LeasedBatch): Promise<Delivery>;
  /** How the destination's settings, as of the last check, can lose or repeat accepted events; a sentence or two each. Default: none. */
  readonly risks?: readonly string[];
  /** Reads the destination's settings now, and resolves with the {@link risks}. @throws {Error} they cannot be read */
  checkRisks?(): Promise<readonly string[]>;
  /** Closes connections and files. No delivery is in progress then. */
  close(): Promise<void>;
}

/** The destination has the events; they are settled. */
export interface Accepted {
  /** Always `accepted`. */
  readonly kind: "accepted";
  /** How many of the events it already had, if it says so: they, or other events with their ids, arrived before. */
  readonly duplicates?: number;
  /** How many of the events are settled without being sent. Default: 0. */
  readonly dropped?: number;
}

/** It cannot accept events now. They are kept and sent again until they are accepted. */
export interface Unavailable {
  /** Always `unavailable`. */
  readonly kind: "unavailable";
  /** Why, for people. */
  readonly reason: string;
  /** How long it asks to wait, in milliseconds, if it does. */
  readonly retryAfterMs?: number;
  /** Whether there was no response: it may or may not have the events. Default: false. */
  readonly isTransport?: boolean;
  /** Whether it has none of the events for certain, because it was not reached. Default: false. */
  readonly isUnsent?: boolean;
}

/**
 * It rejects all our requests: address, key or path are wrong. Events are kept and sent again as with {@link Unavailable},
 * and health and log report it, because somebody must correct it.
 */
export interface Misconfigured {
  /** Always `misconfigured`. */
  readonly kind: "misconfigured";
  /** Why, for people. */
  readonly reason: string;
  /** Whether no response came: then it may or may not have the events. Default: false. */
  readonly isTransport?: boolean;
  /** As of {@link Unavailable}. */
  readonly isUnsent?: boolean;
}

/** It rejects the batch and has none of its events. The batch is halved to find the event at fault. */
export interface Rejected {
  /** Always `rejected`. */
  readonly kind: "rejected";
  /** An HTTP status: 413 is too large. */
  readonly status: number;
  /** Its response. */
  readonly response: string;
}

/** An event that the destination rejects. */
export interface RejectedEvent {
  /** Its id. */
  readonly id: number;
  /** An HTTP status. */
  readonly status: number;
  /** What the destination responded. */
  readonly response: string;
}

/** The destination decided about each event: those that are not listed here are accepted. */
export interface PartiallyAccepted {
  /** Always `partial`. */
  readonly kind: "partial";
  /** The rejected events, which become dead letters. */
  readonly rejected: readonly RejectedEvent[];
  /** The ids of the events to send again, in ascending order. */
  readonly undelivered: readonly number[];
  /** How many of the accepted events it already had, if it says so: see {@link Accepted}. */
  readonly duplicates?: number;
  /** How many of the accepted events are settled without being sent. Default: 0. */
  readonly dropped?: number;
  /** Why some are not delivered. */
  readonly failure?: Unavailable | Misconfigured;
}

/** The result of a delivery. */
export type Outcome = Accepted | Unavailable | Misconfigured | Rejected | PartiallyAccepted;
