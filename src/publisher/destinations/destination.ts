/**
 * A destination: where a publisher takes its events. The publisher leases, waits and settles; a destination delivers one
 * batch and reports the outcome.
 */

/** An event, as it lies in the queue. */
export interface StoredEvent {
  /** Its row in the queue's file. With the queue's UUID it names the event, on every attempt the same. */
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
  /** How many events there are: as many as ids, unless rows were deleted by hand or events are not sent. One at least. */
  readonly count: number;
  /** All events, with commas between them: the destination's own copy, which it may change. */
  readonly joined: Uint8Array;
  /** The events one by one, in the order of their ids; they are read from the file each time. */
  events(): StoredEvent[];
}

/** A batch that is ready to go. */
export interface Delivery {
  /** How large it is before compression, in bytes. */
  readonly sizeBytes: number;
  /**
   * Delivers it, once: trying again is the publisher's decision. Never rejects; what the network does is an outcome, too.
   *
   * @param stop when it aborts, a delivery that is under way is given up, as `unavailable`
   */
  send(stop: AbortSignal): Promise<Outcome>;
}

/** Where a publisher takes its events. */
export interface Destination {
  /** Where that is, as in `https://collector.example/v2`, for people. It holds no secret. */
  readonly url: string;
  /** How long a delivery may take, in milliseconds. The lease of a publisher that died ends soon after it. */
  readonly timeoutMs: number;
  /** How large a batch without an event counts as, in bytes. */
  readonly emptyBatchBytes: number;
  /** How much an event adds besides its own size, in bytes. Default: 1, for a comma. */
  readonly eventOverheadBytes?: number | undefined;
  /** Makes a batch ready: what can be done before the events are known to survive a power cut. */
  prepare(batch: LeasedBatch): Promise<Delivery>;
  /** How the destination's own settings can lose events that it accepted, or repeat them, when it was asked last; a sentence or two each. Default: none. */
  readonly risks?: readonly string[];
  /** Asks the destination for its settings now, and resolves with the {@link risks}. @throws {Error} it cannot be asked */
  checkRisks?(): Promise<readonly string[]>;
  /** Lets go of connections and files. Nothing is under way then. */
  close(): Promise<void>;
}

/** The destination has the events; they are removed. */
export interface Accepted {
  /** Always `accepted`. */
  readonly kind: "accepted";
  /** How many of the events it had already, if it says so: they arrived before, or other events arrived under their ids. */
  readonly duplicates?: number;
  /** How many of the events are settled without being sent. Default: 0. */
  readonly dropped?: number;
}

/** It cannot take anything now; the events are kept, and sent again after a while, for ever. */
export interface Unavailable {
  /** Always `unavailable`. */
  readonly kind: "unavailable";
  /** Why, for people. */
  readonly reason: string;
  /** How long it wants to be left alone, in milliseconds, if it said so. */
  readonly retryAfterMs?: number;
  /** Whether no response came: then it may or may not have the events. Default: false. */
  readonly isTransport?: boolean;
  /** Whether it surely has none of the events, since it could not be reached. Default: false. */
  readonly isUnsent?: boolean;
}

/**
 * It does not take anything from us: address, key or path are wrong. As {@link Unavailable}, and the operator is
 * told, since it is not the events' fault and does not pass by itself.
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

/** It does not take these events, and has none of them. The batch is halved down to the one at fault. */
export interface Rejected {
  /** Always `rejected`. */
  readonly kind: "rejected";
  /** As HTTP has them: 413 is too large. */
  readonly status: number;
  /** What it said. */
  readonly response: string;
}

/** An event that the destination rejects by itself. */
export interface RejectedEvent {
  /** Its id. */
  readonly id: number;
  /** As HTTP has them. */
  readonly status: number;
  /** What the destination said. */
  readonly response: string;
}

/** The receiver has decided each event by itself: those that are not named here are accepted. */
export interface PartiallyAccepted {
  /** Always `partial`. */
  readonly kind: "partial";
  /** Those at fault become dead letters. */
  readonly rejected: readonly RejectedEvent[];
  /** The ids of those that are to be sent again, in ascending order. */
  readonly undelivered: readonly number[];
  /** How many of the accepted events it had already, if it says so: see {@link Accepted}. */
  readonly duplicates?: number;
  /** How many of the events that are not named here are settled without being sent. Default: 0. */
  readonly dropped?: number;
  /** Why there are undelivered ones. */
  readonly failure?: Unavailable | Misconfigured;
}

/** The result of a delivery. */
export type Outcome = Accepted | Unavailable | Misconfigured | Rejected | PartiallyAccepted;
