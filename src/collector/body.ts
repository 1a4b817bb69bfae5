import { promisify } from "node:util";
import { gunzip, gunzipSync } from "node:zlib";
import { HTTPException } from "hono/http-exception";

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
 * @throws {HTTPException} 413 when it is longer than `maxBodyBytes` once decompressed; 400 when
 * it is not what its Content-Encoding (`gzip`, `identity` or none) says.
 */
export async function readBody(request: Request, maxBodyBytes: number): Promise<Uint8Array> {
  const encoding = request.headers.get("content-encoding")?.trim().toLowerCase() || "identity";
  switch (encoding) {
    case "gzip":
      return decompress(await readRaw(request, maxCompressedBytes(maxBodyBytes), maxBodyBytes), maxBodyBytes);
    case "identity":
      return readRaw(request, maxBodyBytes, maxBodyBytes);
    default:
      throw new HTTPException(400, { message: "Content-Encoding must be gzip, identity or absent." });
  }
}

/** Gzip adds a header and, to data that does not compress, well below 1 %. */
function maxCompressedBytes(maxBodyBytes: number): number {
  return Math.ceil(maxBodyBytes * 1.01) + 1_024;
}

async function readRaw(request: Request, maxBytes: number, maxBodyBytes: number): Promise<Buffer> {
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge(maxBodyBytes);
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of request.body ?? []) {
      size += chunk.length;
      if (size > maxBytes) throw tooLarge(maxBodyBytes);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof HTTPException) throw error;
    throw new HTTPException(400, { message: "The request broke off while it was read.", cause: error });
  }
  return Buffer.concat(chunks, size);
}

async function decompress(compressed: Buffer, maxBytes: number): Promise<Uint8Array> {
  try {
    const options = { maxOutputLength: maxBytes, chunkSize: chunkBytes(compressed, maxBytes) };
    return maxBytes <= MAX_SYNC_BYTES
      ? gunzipSync(compressed, options)
      : await gunzipAsync(compressed, options);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(maxBytes);
    throw new HTTPException(400, { message: "The body is not gzip.", cause: error });
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
