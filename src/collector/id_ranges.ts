import type { IdRange } from "./event_ids.ts";

/**
 * A set of ids as ascending ranges; ranges that touch are one. Ids mostly come in order, which costs a
 * comparison; a range that comes late costs a binary search and a splice.
 */
export class IdRanges {
  /** First and last id of each range, by turns, ascending: two arrays of numbers are smaller than objects. */
  readonly #firsts: number[] = [];
  readonly #lasts: number[] = [];

  /** How many ranges there are. */
  get length(): number {
    return this.#firsts.length;
  }

  has(id: number): boolean {
    return this.#firsts[this.#search(id)]! <= id;
  }

  /** Whether all ids of a range are in it. */
  covers({ firstId, lastId }: IdRange): boolean {
    const at = this.#search(firstId);
    return this.#firsts[at]! <= firstId && this.#lasts[at]! >= lastId;
  }

  /** Whether any id of a range is in it. */
  meets({ firstId, lastId }: IdRange): boolean {
    return this.#firsts[this.#search(firstId)]! <= lastId;
  }

  add({ firstId, lastId }: IdRange): void {
    const from = this.#search(firstId - 1);
    let to = from;
    while (to < this.length && this.#firsts[to]! <= lastId + 1) to++;
    const first = from < to ? Math.min(firstId, this.#firsts[from]!) : firstId;
    const last = from < to ? Math.max(lastId, this.#lasts[to - 1]!) : lastId;
    this.#firsts.splice(from, to - from, first);
    this.#lasts.splice(from, to - from, last);
  }

  /** Forgets the range of the lowest ids. */
  dropLowest(): void {
    this.#firsts.shift();
    this.#lasts.shift();
  }

  /** As `Event-Ids` has them: `101-350,352`. */
  toString(): string {
    return this.#firsts.map((first, at) => formatRange(first, this.#lasts[at]!)).join(",");
  }

  /** Where the first range stands that ends at `id` or beyond; past the end where there is none. */
  #search(id: number): number {
    let low = this.length;
    if (low === 0 || this.#lasts[low - 1]! < id) return low;
    let high = low - 1;
    low = 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#lasts[middle]! < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** As `Event-Ids` has it: `101-350`, or `352`. */
export function formatRange(firstId: number, lastId: number): string {
  return firstId === lastId ? String(firstId) : `${firstId}-${lastId}`;
}
