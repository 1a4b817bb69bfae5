/**
 * A sink: where a collector keeps the events that it accepts.
 *
 * @module
 */
import type { SinkConfig } from "../../config/sink_config.ts";
import type { EventIds } from "../../wire/event_ids.ts";
import type { Rejection } from "../../wire/rejections.ts";

/** Events that are signed, valid and to be kept. */
export interface AcceptedBatch {
  /** The events, in order. */
  readonly events: EventList;
  /** The format they were sent in. */
  readonly version: RequestVersion;
  /** The name of the key that signed them. */
  readonly keyName: string;
  /** Whose ids they are: the name of that key, or what keys that replace each other have in common. Ids of different sources are different events. */
  readonly source: string;
  /** Which rows of which queue they are, one id an event and in order; undefined: the publisher did not say so, or did not sign it: then no event is dropped as a duplicate. */
  readonly ids: EventIds | undefined;
}

/** What became of a batch's events. */
export interface StoreResult {
  /** How many were kept. */
  readonly stored: number;
  /** How many had been kept before, by their ids, and were dropped. */
  readonly duplicates: number;
  /** Those that it never takes: the publisher is told, and makes dead letters of them. Default: none. */
  readonly rejected?: readonly Rejection[];
}

/** Keeps events. */
export interface Sink {
  /**
   * Resolves when all events of the batch but the `rejected` are kept as safely as configured, those of an earlier, broken off
   * attempt not twice. Rejects when not: the publisher is told to send them again.
   */
  store(batch: AcceptedBatch): Promise<StoreResult>;
  /** How the sink's own settings can lose events that it keeps, or repeat them, when it was asked last; a sentence or two each. Default: none. */
  readonly risks?: readonly string[];
  /** Asks the sink for its settings now, and resolves with the {@link risks}. @throws {Error} it cannot be asked */
  checkRisks?(): Promise<readonly string[]>;
  /** Resolves when all that was begun is kept, and lets go of files and connections. */
  close(): Promise<void>;
}

/**
 * Opens the sink that a configuration describes. Only that sink's code is loaded.
 *
 * @throws {EventStorageError} (rejects) it cannot be opened
 */
export async function openSink(config: SinkConfig): Promise<Sink> {
  switch (config.kind) {
    case "file": {
      const { kind: _kind, path, ...options } = config;
      return new (await import("./jsonl.ts")).JsonlSink(path, options);
    }
    case "sqlite": {
      const { kind: _kind, path, ...options } = config;
      return new (await import("./sqlite.ts")).SqliteSink(path, options);
    }
    case "nats":
      return new (await import("./nats.ts")).NatsSink(config);
  }
}

/**
 * The formats of a batch: `2` is a list of Thrift structs in JSON, `2j` an array of any JSON, `1` the array of
 * objects that was before them.
 */
export type RequestVersion = "1" | "2" | "2j";

const NEWLINE = 0x0a;
const SPACE = 0x20;

/**
 * Events, each its JSON text in UTF-8 in the very bytes it was sent in: parsing and writing them anew would
 * damage integers beyond 2^53, which Thrift's i64 has. Nothing is copied until somebody asks.
 */
export class EventList {
  readonly #body: Buffer;
  readonly #bounds: Uint32Array;

  /** @internal @param bounds where each event begins and ends in the body, by turns: begin, end, begin, end */
  constructor(body: Uint8Array, bounds: Uint32Array) {
    this.#body = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    this.#bounds = bounds;
  }

  /** How many there are. */
  get count(): number {
    return this.#bounds.length / 2;
  }

  /** How large an event is, in bytes. */
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

  /** Those events of the list for which `isWanted` holds. */
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

  /** All events, one a line. In valid JSON a raw line feed is white space only, and may as well be a space. */
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
