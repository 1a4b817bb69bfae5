/** The interface of a sink: where a collector stores the events that it accepts. */
import type { EventIds } from "../../wire/event_ids.ts";
import type { Rejection } from "../../wire/rejections.ts";

/** Valid events of a verified request, to be stored. */
export interface AcceptedBatch {
  /** The events, in order. */
  readonly events: EventList;
  /** The format they were sent in. */
  readonly version: RequestVersion;
  /** The name of the key that signed them. */
  readonly keyName: string;
  /**
   * The source of the ids: the name of the key, or what keys that replace each other share. Equal ids of different
   * sources name different events.
   */
  readonly source: string;
  /**
   * The queue and the ids of the events, in order. Undefined: the publisher sent none, or did not sign them. Then no
   * event is dropped as a duplicate.
   */
  readonly ids: EventIds | undefined;
}

/** What happened to the events of a batch. */
export interface StoreResult {
  /** How many were stored. */
  readonly stored: number;
  /** How many were dropped, since they were stored before. */
  readonly duplicates: number;
  /**
   * Events that the sink can never store, for example because they are larger than its messages may be. The publisher
   * makes dead letters of them. Default: none.
   */
  readonly rejected?: readonly Rejection[];
}

/** Stores events. */
export interface Sink {
  /**
   * Resolves when all events of the batch but the `rejected` are stored, as durably as configured. Events of an earlier
   * attempt are not stored twice. Rejects when nothing is certain: then the publisher sends the batch again.
   */
  store(batch: AcceptedBatch): Promise<StoreResult>;
  /** How settings of the store, as of the last check, can lose or repeat events; a sentence or two each. Default: none. */
  readonly risks?: readonly string[];
  /** Reads the settings of the store now, and resolves with the {@link risks}. @throws {Error} they cannot be read */
  checkRisks?(): Promise<readonly string[]>;
  /** Finishes the batches in flight, and closes files and connections. */
  close(): Promise<void>;
}

/**
 * The formats of a batch: `2` is a list of Thrift structs in JSON, `2j` an array of any JSON, `1` the array of
 * objects that was before them.
 */
export type RequestVersion = "1" | "2" | "2j";

const NEWLINE = 0x0a;
const SPACE = 0x20;

/**
 * Events, each as the bytes of its JSON text in UTF-8, exactly as they were sent. To parse and write them again would
 * change integers beyond 2^53, which Thrift's i64 has. Events are views of the request's body and not copies.
 */
export class EventList {
  readonly #body: Buffer;
  readonly #bounds: Uint32Array;

  /** @internal @param bounds where each event begins and ends in the body: begin, end, begin, end, ... */
  constructor(body: Uint8Array, bounds: Uint32Array) {
    this.#body = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    this.#bounds = bounds;
  }

  /** The number of events. */
  get count(): number {
    return this.#bounds.length / 2;
  }

  /** The size of an event, in bytes. */
  sizeBytes(index: number): number {
    return this.#bounds[2 * index + 1]! - this.#bounds[2 * index]!;
  }

  /** One event, as a view of the body. */
  bytes(index: number): Buffer {
    return this.#body.subarray(this.#bounds[2 * index]!, this.#bounds[2 * index + 1]!);
  }

  /** One event's JSON text. */
  text(index: number): string {
    return this.#body.toString("utf8", this.#bounds[2 * index]!, this.#bounds[2 * index + 1]!);
  }

  /** The events of the list for which `isWanted` returns true. */
  filter(isWanted: (index: number) => boolean): EventList {
    const bounds = new Uint32Array(this.#bounds.length);
    let kept = 0;
    for (let index = 0; index < this.count; index++) {
      if (!isWanted(index)) continue;
      bounds[kept++] = this.#bounds[2 * index]!;
      bounds[kept++] = this.#bounds[2 * index + 1]!;
    }
    return new EventList(this.#body, bounds.subarray(0, kept));
  }

  /** All events, one per line. A raw line feed in valid JSON is white space, so it is replaced by a space. */
  lines(): Buffer {
    let sizeBytes = this.count;
    for (let index = 0; index < this.count; index++) sizeBytes += this.sizeBytes(index);
    const lines = Buffer.allocUnsafe(sizeBytes);
    let at = 0;
    for (let index = 0; index < this.count; index++) {
      at += this.#body.copy(lines, at, this.#bounds[2 * index]!, this.#bounds[2 * index + 1]!);
      lines[at++] = NEWLINE;
    }
    return this.#joinBrokenLines(lines);
  }

  #joinBrokenLines(lines: Buffer): Buffer {
    let at = -1;
    for (let index = 0; index < this.count; index++) {
      const end = at + this.sizeBytes(index) + 1;
      for (at = lines.indexOf(NEWLINE, at + 1); at < end; at = lines.indexOf(NEWLINE, at + 1))
        lines[at] = SPACE;
    }
    return lines;
  }
}
