/**
 * What came of a delivery.
 *
 * @module
 */

/** The destination has the events; they are removed. */
export interface Accepted {
  readonly kind: "accepted";
}

/** It cannot take anything now; the events are kept, and sent again after a while, for ever. */
export interface Unavailable {
  readonly kind: "unavailable";
  /** Why, for people. */
  readonly reason: string;
  /** How long it wants to be left alone, in milliseconds, if it said so. */
  readonly retryAfterMs?: number;
  /** Whether no answer came: then it may or may not have the events. Default: false. */
  readonly isTransport?: boolean;
}

/**
 * It does not take anything from us: address, key or path are wrong. As {@link Unavailable}, and the operator is
 * told, since it is not the events' fault and does not pass by itself.
 */
export interface Misconfigured {
  readonly kind: "misconfigured";
  /** Why, for people. */
  readonly reason: string;
}

/** It does not take these events, and has none of them. The batch is halved down to the one at fault. */
export interface Refused {
  readonly kind: "refused";
  /** As HTTP has them: 413 is too large. */
  readonly status: number;
  /** What it said. */
  readonly answer: string;
}

/** An event that the destination refuses by itself. */
export interface RefusedEvent {
  /** Its id. */
  readonly id: number;
  /** As HTTP has them. */
  readonly status: number;
  /** What the destination said. */
  readonly answer: string;
}

/** It has said of each event what becomes of it: those that are not named here are accepted. */
export interface Mixed {
  readonly kind: "mixed";
  /** Those at fault become dead letters. */
  readonly refused: readonly RefusedEvent[];
  /** The ids of those that are to be sent again, in ascending order. */
  readonly undelivered: readonly number[];
  /** Why there are undelivered ones. */
  readonly failure?: Unavailable | Misconfigured;
}

/** What came of a delivery. */
export type Outcome = Accepted | Unavailable | Misconfigured | Refused | Mixed;
