/**
 * Events that are at fault, and the answer that names them.
 *
 * @module
 */
import { HTTPException } from "hono/http-exception";

/** One of them. */
export interface Refusal {
  /** Which event of the request, from 0. */
  readonly index: number;
  /** What is wrong with it. */
  readonly error: string;
}

/** The longest list of refused events in an answer, in bytes of JSON: publishers read 64 KiB of one. */
const MAX_LIST_BYTES = 64_000;

/** The longest of its errors, in characters: an app's own may quote the event. */
const MAX_ERROR_CHARS = 200;

/** Events at fault, in the order of the request. */
export class Refusals {
  readonly #list: Refusal[] = [];
  readonly #indexes = new Set<number>();
  #sizeBytes = 0;

  get count(): number {
    return this.#list.length;
  }

  has(index: number): boolean {
    return this.#indexes.has(index);
  }

  /**
   * Adds an event, unless it is there.
   *
   * @throws {HTTPException} 422 when the answer would be too long: then nothing is stored, and publishers send
   * the batch in halves
   */
  add(index: number, error: string): void {
    if (this.#indexes.has(index)) return;
    const refusal = { index, error: error.slice(0, MAX_ERROR_CHARS) };
    this.#sizeBytes += Buffer.byteLength(JSON.stringify(refusal)) + 1;
    if (this.#sizeBytes > MAX_LIST_BYTES)
      throw new HTTPException(422, {
        message: `More events are refused than can be listed, event ${index} among them (${refusal.error}). Nothing was stored: send fewer at once.`,
      });
    this.#indexes.add(index);
    this.#list.push(refusal);
  }

  /** All of them, by their indexes. */
  list(): Refusal[] {
    return this.#list.toSorted((one, other) => one.index - other.index);
  }
}
