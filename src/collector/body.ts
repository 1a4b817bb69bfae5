import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { HTTPException } from "hono/http-exception";

const gunzipAsync = promisify(gunzip);

/**
 * Reads a request's body and decompresses it. Neither the compressed nor the decompressed body is
 * ever held beyond its limit, whatever is sent.
 *
 * @throws {HTTPException} 413 when it is longer than `maxBodyBytes` once decompressed; 400 when
 * it is not what its Content-Encoding (`gzip`, `identity` or none) says.
 */
export async function readBody(request: Request, maxBodyBytes: number): Promise<Uint8Array> {
  const encoding = request.headers.get("content-encoding")?.trim().toLowerCase() || "identity";
  switch (encoding) {
    case "gzip":
      return decompress(await readRaw(request, maxCompressedBytes(maxBodyBytes)), maxBodyBytes);
    case "identity":
      return readRaw(request, maxBodyBytes);
    default:
      throw new HTTPException(400, { message: "Content-Encoding must be gzip, identity or absent." });
  }
}

/** Gzip adds a header and, to data that does not compress, well below 1 %. */
function maxCompressedBytes(maxBodyBytes: number): number {
  return Math.ceil(maxBodyBytes * 1.01) + 1_024;
}

async function readRaw(request: Request, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

async function decompress(compressed: Uint8Array, maxBytes: number): Promise<Uint8Array> {
  try {
    return await gunzipAsync(compressed, { maxOutputLength: maxBytes });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(maxBytes);
    throw new HTTPException(400, { message: "The body is not gzip.", cause: error });
  }
}

function tooLarge(maxBytes: number): HTTPException {
  return new HTTPException(413, { message: `The body is longer than ${maxBytes} bytes.` });
}
