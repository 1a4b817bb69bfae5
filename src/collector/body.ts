import { promisify } from "node:util";
import zlib from "node:zlib";
import { HTTPException } from "hono/http-exception";
import type { Reading } from "./admission.ts";

type Encoding = "gzip" | "zstd";
type Decompress = (
  compressed: Buffer,
  options: { readonly maxOutputLength: number; readonly chunkSize: number },
) => Buffer | Promise<Buffer>;

const gunzipAsync = promisify(zlib.gunzip);
const { zstdDecompressSync } = zlib; // undefined before Node 22.15
const zstdDecompressAsync = zlib.zstdDecompress && promisify(zlib.zstdDecompress);

/** `Accept-Encoding` of responses (RFC 9110, 12.5.3): zstd is there if this runtime's zlib has it. */
export const ACCEPTED_ENCODINGS: string = zstdDecompressSync === undefined ? "gzip" : "zstd, gzip";

/**
 * The largest window of zstd, as a power of two: 8 MiB, which RFC 8878 has for all decoders. Else a body of a few bytes
 * could ask for 128 MiB of memory.
 */
const ZSTD_PARAMS = { [zlib.constants.ZSTD_d_windowLogMax]: 23 };

/** Each on the event loop, and in a thread. */
const DECOMPRESSORS: Readonly<Record<Encoding, { readonly sync: Decompress; readonly async: Decompress }>> = {
  gzip: { sync: zlib.gunzipSync, async: gunzipAsync },
  zstd: {
    sync: (compressed, options) => zstdDecompressSync(compressed, { ...options, params: ZSTD_PARAMS }),
    async: (compressed, options) => zstdDecompressAsync(compressed, { ...options, params: ZSTD_PARAMS }),
  },
};

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
  const encoding = encodingOf(request.headers.get("content-encoding") ?? "");
  if (encoding === undefined) return readRaw(request, { maxBytes: maxBodyBytes, maxBodyBytes, reading });
  const maxBytes = maxCompressedBytes(maxBodyBytes);
  return decompress(await readRaw(request, { maxBytes, maxBodyBytes, reading }), {
    encoding,
    maxBytes: maxBodyBytes,
  });
}

/** Gzip, which has two names (RFC 9110, section 8.4.1.3), or zstd; undefined: it is not compressed. */
function encodingOf(header: string): Encoding | undefined {
  const encodings = header.split(",").map((name) => name.trim().toLowerCase());
  const [encoding = "identity", ...more] = encodings.filter((name) => name !== "" && name !== "identity");
  if (encoding === "identity") return undefined;
  if (more.length === 0 && (encoding === "gzip" || encoding === "x-gzip")) return "gzip";
  if (more.length === 0 && encoding === "zstd" && zstdDecompressSync !== undefined) return "zstd";
  throw new HTTPException(415, {
    message: `Content-Encoding must be one of ${ACCEPTED_ENCODINGS}, identity or absent, got ${header.slice(0, 100)}.`,
  });
}

/** Either adds a header and, to data that does not compress, well below 1 %. */
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

/**
 * What zlib says of bytes that are not gzip or zstd, or not all of it; Deno has no code for zstd's. Whatever else it says is
 * about us, such as Z_MEM_ERROR.
 */
const NOT_COMPRESSED =
  /^(?:Z_(?:DATA_ERROR|BUF_ERROR|NEED_DICT)$|ZSTD_error_(?!memory)|Zstd decompress error: (?!Allocation))/;

async function decompress(
  compressed: Buffer,
  { encoding, maxBytes }: { readonly encoding: Encoding; readonly maxBytes: number },
): Promise<Uint8Array> {
  const { sync, async } = DECOMPRESSORS[encoding];
  try {
    const options = { maxOutputLength: maxBytes, chunkSize: chunkBytes(compressed, { encoding, maxBytes }) };
    return await (maxBytes <= MAX_SYNC_BYTES ? sync : async)(compressed, options);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(maxBytes);
    if (NOT_COMPRESSED.test(code ?? message))
      throw new HTTPException(400, { message: `The body is not ${encoding}.`, cause });
    throw new HTTPException(500, {
      message: "The collector could not decompress the body. Send it again.",
      cause,
    });
  }
}

/** For gzip, the size in its trailer, which may be wrong; for zstd, the usual compression of JSON. */
function chunkBytes(
  compressed: Buffer,
  { encoding, maxBytes }: { readonly encoding: Encoding; readonly maxBytes: number },
): number {
  const isGzip = encoding === "gzip" && compressed.length >= 4;
  const promised = isGzip ? compressed.readUInt32LE(compressed.length - 4) : 8 * compressed.length;
  return Math.max(MIN_CHUNK_BYTES, Math.min(promised + 1, maxBytes + 1, MAX_CHUNK_BYTES));
}

function tooLarge(maxBytes: number): HTTPException {
  return new HTTPException(413, {
    message: `The body is longer than ${maxBytes} bytes.`,
  });
}
