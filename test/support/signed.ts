import { gzipSync } from "node:zlib";
import { EVENT_IDS_HEADER } from "../../src/wire/event_ids.ts";
import {
  EVENT_IDS_SIGNATURE_HEADER,
  formatSignature,
  SIGNATURE_HEADER,
  type SigningKey,
  signBody,
  signEventIds,
} from "../../src/wire/signature.ts";
import { KEY } from "./keys.ts";

/** What `X-Signature` says of a body, with the tests' key unless told. */
export function signatureOf(body: string | Uint8Array, key: SigningKey = KEY): string {
  return formatSignature(signBody(Buffer.from(body), key));
}

/** A batch as a publisher sends it: gzipped and signed. */
export function signedBatch(body: string | Uint8Array, headers: Record<string, string> = {}): RequestInit {
  return {
    method: "POST",
    body: gzipSync(body) as Uint8Array<ArrayBuffer>,
    headers: { [SIGNATURE_HEADER]: signatureOf(body), "Content-Encoding": "gzip", ...headers },
  };
}

/** The headers that sign a body and the ids of its events, as they are at a time. */
export function signedHeaders(
  body: string | Uint8Array,
  eventIds: string,
  { key = KEY, nowMs = Date.now() }: { readonly key?: SigningKey; readonly nowMs?: number } = {},
): Record<string, string> {
  const signature = signBody(Buffer.from(body), key);
  return {
    [SIGNATURE_HEADER]: formatSignature(signature),
    [EVENT_IDS_HEADER]: eventIds,
    [EVENT_IDS_SIGNATURE_HEADER]: signEventIds({ eventIds, bodyMac: signature.mac }, key.secret, nowMs),
  };
}
