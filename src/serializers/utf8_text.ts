/** A text in UTF-8 that grows. */
import { Buffer } from "node:buffer";

const FIRST_BYTES = 4_096;

/** What is kept for the next text, in bytes. */
const MAX_KEPT_BYTES = 65_536;

/** Longer strings are left to TextEncoder. */
const MAX_COPIED_CHARS = 128;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

const encoder = new TextEncoder();

/**
 * A text that is built from many short pieces. To copy these byte by byte takes 0.45 us for 300 bytes; to join them to a
 * string that is encoded at the end takes 1.3 us (Node: 0.7 and 1.1).
 */
export class Utf8Text {
  #bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #length = 0;

  /** In bytes. */
  get length(): number {
    return this.#length;
  }

  append(text: string): void {
    if (text.length > MAX_COPIED_CHARS || !this.#appendAscii(text)) this.#encode(text);
  }

  appendBytes(source: Uint8Array): void {
    this.#reserve(source.length);
    const bytes = this.#bytes;
    let end = this.#length;
    for (let index = 0; index < source.length; index++) bytes[end++] = source[index]!; // 14 bytes: `set` takes longer
    this.#length = end;
  }

  /** Appends a string in quotes. False: it is left out, because it is long, or has surrogates or what JSON escapes. */
  appendPlain(value: string): boolean {
    if (value.length > MAX_COPIED_CHARS) return false;
    this.#reserve(value.length * 3 + 2);
    const bytes = this.#bytes;
    let end = this.#length;
    bytes[end++] = QUOTE;
    for (let index = 0; index < value.length; index++) {
      const unit = value.charCodeAt(index);
      if (unit < 0x20 || unit === QUOTE || unit === BACKSLASH || (unit >= 0xd800 && unit < 0xe000))
        return false;
      if (unit < 0x80) {
        bytes[end++] = unit;
      } else {
        if (unit < 0x800) {
          bytes[end++] = 0xc0 | (unit >> 6);
        } else {
          bytes[end++] = 0xe0 | (unit >> 12);
          bytes[end++] = 0x80 | ((unit >> 6) & 0x3f);
        }
        bytes[end++] = 0x80 | (unit & 0x3f);
      }
    }
    bytes[end++] = QUOTE;
    this.#length = end;
    return true;
  }

  /** Removes the end. @param length what remains, in bytes */
  cutTo(length: number): void {
    this.#length = length;
  }

  /** A copy of a part. */
  slice(from: number, to: number): Uint8Array {
    const copy = Buffer.allocUnsafe(to - from);
    this.#bytes.copy(copy, 0, from, to);
    return copy;
  }

  clear(): void {
    this.#length = 0;
    if (this.#bytes.length > MAX_KEPT_BYTES) this.#bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  }

  #appendAscii(text: string): boolean {
    this.#reserve(text.length);
    const bytes = this.#bytes;
    let end = this.#length;
    for (let index = 0; index < text.length; index++) {
      const unit = text.charCodeAt(index);
      if (unit > 0x7f) return false;
      bytes[end++] = unit;
    }
    this.#length = end;
    return true;
  }

  #encode(text: string): void {
    this.#reserve(text.length * 3); // the most that TextEncoder writes
    this.#length += encoder.encodeInto(text, this.#bytes.subarray(this.#length)).written;
  }

  #reserve(byteCount: number): void {
    const { length } = this.#bytes;
    if (this.#length + byteCount <= length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(length * 2, this.#length + byteCount));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}
