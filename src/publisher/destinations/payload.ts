/**
 * A batch as an HTTP request: signed, then gzipped.
 *
 * @module
 */
import { createHmac } from "node:crypto";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { DEFAULT_GZIP_LEVEL } from "../../limits.ts";
import { VERSION } from "../../version.ts";

const gzipAsync = promisify(gzip);

/** Most batches fit in one chunk: with zlib's 16 KiB, joining them cost 5 % of a drain. */
const CHUNK_BYTES = 262_144;

/** The key that signs, as the collector knows it. */
export interface SigningKey {
  readonly name: string;
  readonly secret: Uint8Array;
}

/** What is POSTed. */
export interface Payload {
  readonly headers: Record<string, string>;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** Signs and compresses a batch's body, the latter in another thread on Bun and Node. @param level gzip's, 1 to 9 */
export async function makePayload(
  body: Uint8Array,
  key: SigningKey,
  level: number = DEFAULT_GZIP_LEVEL,
): Promise<Payload> {
  return {
    headers: {
      "Content-Type": "application/json",
      "Content-Encoding": "gzip",
      Date: new Date().toUTCString(),
      "User-Agent": `eventspool/${VERSION}`,
      "X-Signature": sign(body, key),
    },
    body: await gzipAsync(body, { level, chunkSize: CHUNK_BYTES }),
  };
}

/**
 * `key=NAME, mac=HEX`: HMAC-SHA256 over the uncompressed body.
 * Source: baseplate.py `baseplate/sidecars/event_publisher.py`, `_sign_payload`.
 */
export function sign(body: Uint8Array, { name, secret }: SigningKey): string {
  return `key=${name}, mac=${createHmac("sha256", secret).update(body).digest("hex")}`;
}
