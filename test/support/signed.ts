import { createHmac } from "node:crypto";
import { gzipSync } from "node:zlib";
import { KEY } from "./keys.ts";

/** What `X-Signature` says of a body, with the tests' key unless told. */
export function signatureOf(body: string | Uint8Array, { name, secret }: typeof KEY = KEY): string {
  return `key=${name}, mac=${createHmac("sha256", secret).update(body).digest("hex")}`;
}

/** A batch as a publisher sends it: gzipped and signed. */
export function signedBatch(body: string | Uint8Array, headers: Record<string, string> = {}): RequestInit {
  return {
    method: "POST",
    body: gzipSync(body) as Uint8Array<ArrayBuffer>,
    headers: { "X-Signature": signatureOf(body), "Content-Encoding": "gzip", ...headers },
  };
}
