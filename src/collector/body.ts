import { promisify } from "node:util";
import { gunzip, gunzipSync } from "node:zlib";
import { HTTPException } from "hono/http-exception";
import type { Reading } from "./admission.ts";

const gunzipAsync = promisify(gunzip);

/**
 * Up to this limit bodies are decompressed on the event loop, in one to two milliseconds. A thread would cost more CPU
 * than it saves.
 */
const MAX_SYNC_BYTES = 1_048_576;

/** The size of the output buffer of zlib, in bytes: one buffer for the whole body saves a third of the time. */
const MIN_CHUNK_BYTES = 1_024;
const MAX_CHUNK_BYTES = 1_048_576;

/**
 * Reads the body of a request and decompresses it. Memory is bounded: neither the compressed nor the decompressed body
 * is held beyond its limit. A body with a larger Content-Length is rejected unread.
 *
 * @throws {HTTPException} 413 when the decompressed body is longer than `maxBodyBytes`; 400 when it is not gzip, though
 * its Content-Encoding says so; 415 for another encoding; 503 when the connection ends early; 500 when the app has
 * read the body before, or there is no memory; and the failure of `reading`
 */
export async function readBody(
  request: Request,
  maxBodyBytes: number,
  reading: Reading,
): Promise<Uint8Array> {
  if (!isGzipped(request.headers.get("content-encoding") ?? ""))
    return readRaw(request, { maxBytes: maxBodyBytes, maxBodyBytes, reading });
  const maxBytes = maxCompressedBytes(maxBodyBytes);
  return decompress(await readRaw(request, { maxBytes, maxBodyBytes, reading }), maxBodyBytes);
}

/** Whether the body is gzip, which has two names (RFC 9110, section 8.4.1.3), or not compressed. */
function isGzipped(header: string): boolean {
  const encodings = header.split(",").map((name) => name.trim().toLowerCase());
  const [encoding = "identity", ...more] = encodings.filter((name) => name !== "" && name !== "identity");
  if (encoding === "identity") return false;
  if (more.length === 0 && (encoding === "gzip" || encoding === "x-gzip")) return true;
  throw new HTTPException(415, {
    message: `Content-Encoding must be gzip, identity or absent, got ${header.slice(0, 100)}.`,
  });
}

/** Gzip adds a header, and less than 1 % to data that does not compress. */
function maxCompressedBytes(maxBodyBytes: number): number {
  return Math.ceil(maxBodyBytes * 1.01) + 1_024;
}

interface ReadLimits {
  /** The most bytes that may arrive. */
  readonly maxBytes: number;
  /** The limit after decompression, for errors. */
  readonly maxBodyBytes: number;
  readonly reading: Reading;
}

async function readRaw(request: Request, { maxBytes, maxBodyBytes, reading }: ReadLimits): Promise<Buffer> {
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge(maxBodyBytes);
  const chunks: Uint8Array[] = [];
  const reader = readerOf(request);
  reading.onFailure(() => void reader?.cancel().catch(() => {})); // ends a read that waits
  for (;;) {
    const chunk = await nextChunk(reader);
    if (reading.failure !== undefined) throw reading.failure;
    if (chunk === undefined) return Buffer.concat(chunks, reading.sizeBytes);
    reading.add(chunk.length);
    if (reading.sizeBytes > maxBytes) {
      void reader?.cancel().catch(() => {});
      throw tooLarge(maxBodyBytes);
    }
    chunks.push(chunk);
  }
}

type BodyReader = ReadableStreamDefaultReader<Uint8Array>;

/** @throws {HTTPException} 500: the app around the collector has read the body; the publisher did nothing wrong */
function readerOf(request: Request): BodyReader | undefined {
  if (request.bodyUsed || request.body?.locked)
    throw new HTTPException(500, {
      message: "Middleware of the app has read the body. Mount the collector before that middleware.",
    });
  return request.body?.getReader() as BodyReader | undefined;
}

/** @throws {HTTPException} 503: the connection ended early; the events are not at fault */
async function nextChunk(reader: BodyReader | undefined): Promise<Uint8Array | undefined> {
  try {
    return (await reader?.read())?.value;
  } catch (cause) {
    throw new HTTPException(503, {
      message: "The connection ended before the whole body arrived. Send it again.",
      cause,
    });
  }
}

/** The codes of zlib for bytes that are not gzip, or incomplete. Others, such as Z_MEM_ERROR, are our own failures. */
const NOT_GZIP = new Set(["Z_DATA_ERROR", "Z_BUF_ERROR", "Z_NEED_DICT"]);

async function decompress(compressed: Buffer, maxBytes: number): Promise<Uint8Array> {
  try {
    const options = { maxOutputLength: maxBytes, chunkSize: chunkBytes(compressed, maxBytes) };
    return maxBytes <= MAX_SYNC_BYTES
      ? gunzipSync(compressed, options)
      : await gunzipAsync(compressed, options);
  } catch (cause) {
    const { code = "" } = cause as NodeJS.ErrnoException;
    if (code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(maxBytes);
    if (NOT_GZIP.has(code)) throw new HTTPException(400, { message: "The body is not gzip.", cause });
    throw new HTTPException(500, {
      message: "The collector could not decompress the body. Send it again.",
      cause,
    });
  }
}

/** The size in the gzip trailer, within bounds: it may be a lie. */
function chunkBytes(compressed: Buffer, maxBytes: number): number {
  const promised = compressed.length < 4 ? 0 : compressed.readUInt32LE(compressed.length - 4);
  return Math.max(MIN_CHUNK_BYTES, Math.min(promised + 1, maxBytes + 1, MAX_CHUNK_BYTES));
}

function tooLarge(maxBytes: number): HTTPException {
  return new HTTPException(413, {
    message: `The body is longer than ${maxBytes} bytes.`,
  });
}
