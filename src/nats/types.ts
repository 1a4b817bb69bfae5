/**
 * Messages for JetStream, and what becomes of each.
 *
 * @module
 */

/** Messages to publish, asked for by index when it is their turn: none is held as an object. */
export interface Messages {
  readonly count: number;
  /** Where a message goes. */
  subject(index: number): string;
  /** Its `Nats-Msg-Id`, by which a stream drops what it has within its duplicate window; undefined: it drops nothing. */
  id(index: number): string | undefined;
  /** What is stored. */
  body(index: number): Uint8Array;
}

/**
 * Why messages were not stored, through no fault of their own.
 *
 * - `unavailable`: it passes by itself, or when somebody mends the servers.
 * - `misconfigured`: credentials, subject or stream are wrong, and it does not pass by itself.
 */
export interface Failure {
  readonly kind: "unavailable" | "misconfigured";
  readonly reason: string;
  /** Whether no answer came: then the messages may or may not be stored. Default: false. */
  readonly isTransport?: boolean;
  /** Whether no message was sent, since no server could be reached. Default: false. */
  readonly isUnsent?: boolean;
}

/** A message that the server, or its stream, never takes. */
export interface RejectedMessage {
  readonly index: number;
  readonly reason: string;
  /** Whether it is its size. */
  readonly isTooLarge: boolean;
}

/** What became of messages. Those that are in neither list are stored. */
export interface Published {
  /** How many of those that are stored had been there before. */
  readonly duplicates: number;
  readonly rejected: readonly RejectedMessage[];
  /** The indexes of those that may or may not be stored: to be published again, under the same ids. Ascending. */
  readonly undelivered: readonly number[];
  /** Why; undefined when none is undelivered. */
  readonly failure: Failure | undefined;
}
