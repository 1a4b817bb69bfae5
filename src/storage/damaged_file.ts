/**
 * Reads rows out of a SQLite file that SQLite itself cannot read any more: page by page, skipping what is broken.
 *
 * The format is that of https://www.sqlite.org/fileformat2.html. SQLite's own `.recover` is in its command-line program
 * alone, and not in any of the three libraries.
 */
import { readFileSync } from "node:fs";

/** What a column may hold. */
export type ColumnValue = null | number | string | Uint8Array;

/** A row of a table: its id, and its columns in their order. An `INTEGER PRIMARY KEY` is NULL among them. */
export interface Row {
  readonly id: number;
  readonly columns: readonly ColumnValue[];
}

/** A table, as far as it can be found from its root. */
export interface Tree {
  /** The pages that hold its rows. */
  readonly leaves: readonly Page[];
  /** The numbers of all its pages. */
  readonly pages: ReadonlySet<number>;
  /** Whether every page of it was found. */
  readonly isWhole: boolean;
}

/** A page, with its number. */
export interface Page {
  readonly number: number;
  readonly bytes: Buffer;
}

const LEAF = 0x0d;
const INTERIOR = 0x05;

/** A tree is as deep as this only when pages of it point at each other in a circle. */
const MAX_DEPTH = 40;

/** The page size of every queue file; the one that is noted in the file is used if it is possible. */
const USUAL_PAGE_BYTES = 4_096;

const WAL_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;

/** A file of SQLite, with its -wal, as it was at the last commit that can be read. */
export class DamagedFile {
  /** How many pages there should be. */
  readonly pageCount: number;
  readonly #pageBytes: number;
  readonly #pages = new Map<number, Buffer>();
  /** Pages of commits behind a damaged place of the -wal: newer than those of the file, but not known to be whole. */
  readonly #strays: Page[] = [];

  /** Reads the files into memory. @throws {NodeJS.ErrnoException} they cannot be read */
  constructor(path: string) {
    const file = readFileSync(path);
    const noted = file.length < 18 ? 0 : file.readUInt16BE(16);
    const isSize = noted >= 512 && (noted & (noted - 1)) === 0;
    this.#pageBytes = isSize ? noted : noted === 1 ? 65_536 : USUAL_PAGE_BYTES;
    for (let begin = 0; begin + this.#pageBytes <= file.length; begin += this.#pageBytes)
      this.#pages.set(begin / this.#pageBytes + 1, file.subarray(begin, begin + this.#pageBytes));
    const notedCount = this.#readWal(readIfThere(`${path}-wal`)) ?? this.#notedPageCount();
    this.pageCount = Math.max(notedCount, this.#pages.size);
  }

  /** How many pages there are. */
  get foundCount(): number {
    return this.#pages.size;
  }

  /** The tables, by their names, with the numbers of their roots: as far as the schema can be read. */
  roots(): Map<string, number> {
    const roots = new Map<string, number>();
    for (const leaf of this.tree(1).leaves)
      for (const { columns } of this.rows(leaf)) {
        const [type, name, , root] = columns;
        if (type === "table" && typeof name === "string" && typeof root === "number") roots.set(name, root);
      }
    return roots;
  }

  /** Follows a table from its root. */
  tree(root: number): Tree {
    const pages = new Set<number>();
    const leaves: Page[] = [];
    const isWhole = this.#walk(root, { pages, leaves, depth: 0 });
    return { leaves, pages, isWhole };
  }

  /** Pages that may hold rows of a table whose root or inner pages are broken: all leaves that are not in `pages`. The newest come first. */
  *otherLeaves(pages: ReadonlySet<number>): Generator<Page> {
    for (const page of this.#strays) if (kindOf(page) === LEAF) yield page;
    const free = this.#freePages();
    for (const [number, bytes] of this.#pages)
      if (!pages.has(number) && !free.has(number) && kindOf({ number, bytes }) === LEAF)
        yield { number, bytes };
  }

  /** The rows of a leaf that can be read. */
  *rows(page: Page): Generator<Row> {
    const begin = headerOf(page);
    const { bytes } = page;
    const count = bytes.readUInt16BE(begin + 3);
    for (let nth = 0; nth < count && begin + 10 + 2 * nth <= bytes.length; nth++) {
      const row = attempt(() => this.#row(bytes, bytes.readUInt16BE(begin + 8 + 2 * nth)));
      if (row !== undefined) yield row;
    }
  }

  #walk(number: number, found: { pages: Set<number>; leaves: Page[]; depth: number }): boolean {
    const bytes = this.#pages.get(number);
    if (bytes === undefined || found.pages.has(number) || found.depth > MAX_DEPTH) return false;
    const page = { number, bytes };
    const kind = kindOf(page);
    if (kind !== LEAF && kind !== INTERIOR) return false;
    found.pages.add(number);
    if (kind === LEAF) {
      found.leaves.push(page);
      return hasAllCells(page);
    }
    const deeper = { ...found, depth: found.depth + 1 };
    const children = childrenOf(page);
    return children.reduce((isWhole, child) => this.#walk(child, deeper) && isWhole, hasAllCells(page));
  }

  #row(bytes: Buffer, at: number): Row {
    const payload = readVarint(bytes, at);
    const id = readVarint(bytes, payload.end);
    if (payload.value > this.#pages.size * this.#pageBytes) throw new RangeError("larger than the file");
    return { id: id.value, columns: readRecord(this.#payload(bytes, id.end, payload.value)) };
  }

  /** What of a row does not fit into its page is in a chain of others. */
  #payload(bytes: Buffer, at: number, size: number): Buffer {
    const usable = this.#pageBytes;
    const most = usable - 35;
    if (size <= most) return slice(bytes, at, size);
    const least = Math.floor(((usable - 12) * 32) / 255) - 23;
    const fitting = least + ((size - least) % (usable - 4));
    const local = fitting <= most ? fitting : least;
    const parts = [slice(bytes, at, local)];
    let next = bytes.readUInt32BE(at + local);
    for (let left = size - local; left > 0; left -= usable - 4) {
      const page = this.#pages.get(next);
      if (page === undefined) throw new RangeError(`page ${next} is missing`);
      parts.push(page.subarray(4, 4 + Math.min(left, usable - 4)));
      next = page.readUInt32BE(0);
    }
    return Buffer.concat(parts);
  }

  #notedPageCount(): number {
    return this.#pages.get(1)?.readUInt32BE(28) ?? 0;
  }

  /** Pages that SQLite has set aside, with rows that were deleted. */
  #freePages(): Set<number> {
    const free = new Set<number>();
    let trunk = this.#pages.get(1)?.readUInt32BE(32) ?? 0;
    while (trunk !== 0 && !free.has(trunk)) {
      const page = this.#pages.get(trunk);
      if (page === undefined) break;
      free.add(trunk);
      const count = Math.min(page.readUInt32BE(4), (page.length - 8) / 4);
      for (let nth = 0; nth < count; nth++) free.add(page.readUInt32BE(8 + 4 * nth));
      trunk = page.readUInt32BE(0);
    }
    return free;
  }

  /**
   * Takes over the commits of a -wal up to the first frame that is damaged, as SQLite does; the whole frames behind it
   * become strays. Returns how many pages the last commit says there are.
   */
  #readWal(wal: Buffer): number | undefined {
    const frameBytes = FRAME_HEADER_BYTES + this.#pageBytes;
    if (wal.length < WAL_HEADER_BYTES) return undefined;
    const isBigEndian = (wal.readUInt32BE(0) & 1) === 1;
    const salts = wal.subarray(16, 24);
    let sum = checksum(wal.subarray(0, 24), [0, 0], isBigEndian);
    let isTrusted = isSum(wal, 24, sum);
    let uncommitted: Page[] = [];
    let pageCount: number | undefined;
    for (let begin = WAL_HEADER_BYTES; begin + frameBytes <= wal.length; begin += frameBytes) {
      const frame = wal.subarray(begin, begin + frameBytes);
      if (!frame.subarray(8, 16).equals(salts)) break; // an earlier round of the -wal
      const page = { number: frame.readUInt32BE(0), bytes: frame.subarray(FRAME_HEADER_BYTES) };
      sum = checksum(frame.subarray(0, 8), sum, isBigEndian);
      sum = checksum(page.bytes, sum, isBigEndian);
      isTrusted &&= isSum(frame, 16, sum);
      uncommitted.push(page);
      if (frame.readUInt32BE(4) === 0) continue;
      if (isTrusted) {
        for (const { number, bytes } of uncommitted) this.#pages.set(number, bytes);
        pageCount = frame.readUInt32BE(4);
      } else this.#strays.unshift(...uncommitted.reverse());
      uncommitted = [];
    }
    return pageCount;
  }
}

function readIfThere(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
}

/** Where a page's header begins: behind the file's own on the first one. */
function headerOf({ number }: Page): number {
  return number === 1 ? 100 : 0;
}

function kindOf(page: Page): number | undefined {
  return page.bytes[headerOf(page)];
}

/** Whether each cell of a page points into it. */
function hasAllCells(page: Page): boolean {
  const { bytes } = page;
  const begin = headerOf(page);
  const first = begin + (kindOf(page) === LEAF ? 8 : 12);
  const count = bytes.readUInt16BE(begin + 3);
  const pointersEnd = first + 2 * count;
  if (pointersEnd > bytes.length) return false;
  for (let at = first; at < pointersEnd; at += 2) {
    const cell = bytes.readUInt16BE(at);
    if (cell < pointersEnd || cell + 4 > bytes.length) return false;
  }
  return true;
}

function childrenOf(page: Page): number[] {
  const { bytes } = page;
  const begin = headerOf(page);
  const children: number[] = [];
  const count = Math.min(bytes.readUInt16BE(begin + 3), (bytes.length - begin - 12) >> 1);
  for (let nth = 0; nth < count; nth++) {
    const cell = bytes.readUInt16BE(begin + 12 + 2 * nth);
    if (cell + 4 <= bytes.length) children.push(bytes.readUInt32BE(cell));
  }
  return [...children, bytes.readUInt32BE(begin + 8)];
}

/** The values of a record. @throws {RangeError} it is no record */
function readRecord(payload: Buffer): ColumnValue[] {
  const header = readVarint(payload, 0);
  const columns: ColumnValue[] = [];
  let body = header.value;
  for (let at = header.end; at < header.value; ) {
    const type = readVarint(payload, at);
    const size = sizeOfType(type.value);
    columns.push(readValue(type.value, slice(payload, body, size)));
    body += size;
    at = type.end;
  }
  if (body !== payload.length) throw new RangeError("not a record");
  return columns;
}

const INTEGER_BYTES = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0];

function sizeOfType(type: number): number {
  if (type < 10) return INTEGER_BYTES[type]!;
  if (type < 12) throw new RangeError("a type that SQLite does not write");
  return (type - (type % 2 === 0 ? 12 : 13)) / 2;
}

function readValue(type: number, bytes: Buffer): ColumnValue {
  if (type === 0) return null;
  if (type === 7) return bytes.readDoubleBE();
  if (type === 8 || type === 9) return type - 8;
  if (type === 6) return Number(bytes.readBigInt64BE());
  if (type < 6) return bytes.readIntBE(0, bytes.length);
  return type % 2 === 0 ? bytes : bytes.toString();
}

/** SQLite's integers of 1 to 9 bytes, the most significant first. */
function readVarint(bytes: Buffer, at: number): { value: number; end: number } {
  let value = 0;
  for (let nth = 0; nth < 9; nth++) {
    const byte = bytes[at + nth];
    if (byte === undefined) throw new RangeError("behind the end");
    value = nth === 8 ? value * 256 + byte : value * 128 + (byte & 0x7f);
    if (nth === 8 || byte < 0x80) return { value, end: at + nth + 1 };
  }
  throw new RangeError("unreachable");
}

function slice(bytes: Buffer, at: number, size: number): Buffer {
  if (!(size >= 0) || at + size > bytes.length) throw new RangeError("behind the end");
  return bytes.subarray(at, at + size);
}

/** What cannot be read is damaged: there is nothing to say of it but that. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** The checksum of a -wal, over what came before, too. */
function checksum(
  bytes: Buffer,
  [first, second]: readonly [number, number],
  isBigEndian: boolean,
): [number, number] {
  for (let at = 0; at < bytes.length; at += 8) {
    first = (first + (isBigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at)) + second) >>> 0;
    second = (second + (isBigEndian ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4)) + first) >>> 0;
  }
  return [first, second];
}

function isSum(bytes: Buffer, at: number, [first, second]: readonly [number, number]): boolean {
  return bytes.readUInt32BE(at) === first && bytes.readUInt32BE(at + 4) === second;
}
