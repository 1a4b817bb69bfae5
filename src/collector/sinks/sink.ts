/**
 * A sink: where a collector keeps the events that it accepts.
 *
 * @module
 */
import type { EventIds } from "../../wire/event_ids.ts";
import type { BatchVersion, EventList } from "./event_list.ts";

/** Events that are signed, valid and to be kept. */
export interface AcceptedBatch {
  /** The events, in order. */
  readonly events: EventList;
  /** The format they were sent in. */
  readonly version: BatchVersion;
  /** The name of the key that signed them. */
  readonly keyName: string;
  /** Whose ids they are: the name of that key, or what keys that replace each other have in common. Ids of different sources are different events. */
  readonly source: string;
  /** Which rows of which queue they are, one id an event and in order; undefined: the publisher did not say so, or did not sign it: then no event is dropped as a duplicate. */
  readonly ids: EventIds | undefined;
}

/** An event that a sink never takes, whatever is done about the sink: it is larger than its messages may be, say. */
export interface UnkeptEvent {
  /** Which event of the batch, from 0. */
  readonly index: number;
  /** Why, for people: the publisher is told. */
  readonly reason: string;
}

/** What became of a batch's events. */
export interface Stored {
  /** How many were kept. */
  readonly stored: number;
  /** How many had been kept before, by their ids, and were dropped. */
  readonly duplicates: number;
  /** Those that it never takes: the publisher is told, and makes dead letters of them. Default: none. */
  readonly rejected?: readonly UnkeptEvent[];
}

/** Keeps events. */
export interface Sink {
  /**
   * Resolves when all events of the batch but the `rejected` are kept as safely as configured, those of an earlier, broken off
   * attempt not twice. Rejects when not: the publisher is told to send them again.
   */
  store(batch: AcceptedBatch): Promise<Stored>;
  /** How the sink's own settings can lose events that it keeps, or repeat them, when it was asked last; a sentence or two each. Default: none. */
  readonly risks?: readonly string[];
  /** Asks the sink for its settings now, and resolves with the {@link risks}. @throws {Error} it cannot be asked */
  checkRisks?(): Promise<readonly string[]>;
  /** Resolves when all that was begun is kept, and lets go of files and connections. */
  close(): Promise<void>;
}
