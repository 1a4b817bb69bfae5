import { promisify } from "node:util";
import { gunzip, gunzipSync } from "node:zlib";
import { HTTPException } from "hono/http-exception";
import type { Reading } from "./admission.ts";

const gunzipAsync = promisify(gunzip);

/**
 * Up to this limit bodies are decompressed without a detour over a thread, which costs more CPU than it saves. The
 * largest holds the others up for a millisecond or two.
 */
const MAX_SYNC_BYTES = 1_048_576;

/** How much is decompressed at once, in bytes: in one piece it takes two thirds of the time. */
const MIN_CHUNK_BYTES = 1_024;
const MAX_CHUNK_BYTES = 1_048_576;

/**
 * Reads a request's body and decompresses it. Neither the compressed nor the decompressed body is
 * ever held beyond its limit, whatever is sent. One whose Content-Length is too long is rejected before it is read.
 *
 * @throws {HTTPException} 413 when it is longer than `maxBodyBytes` once decompressed; 400 when it is not gzip, though
 * its Content-Encoding says so; 415 for an encoding that is not known; 503 when the rest of it does not come; what
 * `reading` fails with; 500 when someone else has read it, or for want of memory
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

/** Whether it is gzip, which has two names (RFC 9110, section 8.4.1.3), or not compressed. */
function isGzipped(header: string): boolean {
  const encodings = header.split(",").map((name) => name.trim().toLowerCase());
  const [encoding = "identity", ...more] = encodings.filter((name) => name !== "" && name !== "identity");
  if (encoding === "identity") return false;
  if (more.length === 0 && (encoding === "gzip" || encoding === "x-gzip")) return true;
  throw new HTTPException(415, { message: "Content-Encoding must be gzip, identity or absent." });
}

/** Gzip adds a header and, to data that does not compress, well below 1 %. */
function maxCompressedBytes(maxBodyBytes: number): number {
  return Math.ceil(maxBodyBytes * 1.01) + 1_024;
}

interface ReadLimits {
  /** What may arrive. */
  readonly maxBytes: number;
  /** What it may be decompressed, for errors. */
  readonly maxBodyBytes: number;
  readonly reading: Reading;
}

async function readRaw(request: Request, { maxBytes, maxBodyBytes, reading }: ReadLimits): Promise<Buffer> {
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge(maxBodyBytes);
  const chunks: Uint8Array[] = [];
  const reader = readerOf(request);
  reading.onFailure(() => void reader?.cancel().catch(() => {})); // a read that waits is done then
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

/** @throws {HTTPException} 500: the application that we are part of has read it. Nobody has sent anything wrong */
function readerOf(request: Request): BodyReader | undefined {
  if (request.bodyUsed || request.body?.locked)
    throw new HTTPException(500, {
      message: "The body was read before the collector could: mount the collector before what reads it.",
    });
  return request.body?.getReader() as BodyReader | undefined;
}

/** @throws {HTTPException} 503: whether the client or something between has broken it off, the events are not at fault */
async function nextChunk(reader: BodyReader | undefined): Promise<Uint8Array | undefined> {
  try {
    return (await reader?.read())?.value;
  } catch (cause) {
    throw new HTTPException(503, {
      message: "The request broke off while it was read. Send it again.",
      cause,
    });
  }
}

/** What zlib says of bytes that are not gzip, or not all of it. Whatever else it says is about us, such as Z_MEM_ERROR. */
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

/** As much as the gzip trailer promises, which may be a lie. */
function chunkBytes(compressed: Buffer, maxBytes: number): number {
  const promised = compressed.length < 4 ? 0 : compressed.readUInt32LE(compressed.length - 4);
  return Math.max(MIN_CHUNK_BYTES, Math.min(promised + 1, maxBytes + 1, MAX_CHUNK_BYTES));
}

function tooLarge(maxBytes: number): HTTPException {
  return new HTTPException(413, { message: `The body is longer than ${maxBytes} bytes.` });
}
