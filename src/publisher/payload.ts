/**
 * A batch as an HTTP request: signed, then gzipped.
 *
 * @module
 */
import { createHmac } from "node:crypto";
import { promisify } from "node:util";
import { constants, gzip } from "node:zlib";
import { VERSION } from "../version.ts";

const gzipAsync = promisify(gzip);

/** Level 1 takes 0.8 ms for 500 KiB of events, level 6 takes 2.6 ms; in a thread of its own on Bun and Node. */
const GZIP_OPTIONS = { level: constants.Z_BEST_SPEED, chunkSize: 262_144 };

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

/** Signs and compresses a batch's body. */
export async function makePayload(body: Uint8Array, key: SigningKey): Promise<Payload> {
  return {
    headers: {
      "Content-Type": "application/json",
      "Content-Encoding": "gzip",
      Date: new Date().toUTCString(),
      "User-Agent": `eventspool/${VERSION}`,
      "X-Signature": sign(body, key),
    },
    body: await gzipAsync(body, GZIP_OPTIONS),
  };
}

/**
 * `key=NAME, mac=HEX`: HMAC-SHA256 over the uncompressed body.
 * Source: baseplate.py `baseplate/sidecars/event_publisher.py`, `_sign_payload`.
 */
export function sign(body: Uint8Array, { name, secret }: SigningKey): string {
  return `key=${name}, mac=${createHmac("sha256", secret).update(body).digest("hex")}`;
}
