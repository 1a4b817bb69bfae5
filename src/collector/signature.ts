import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { HTTPException } from "hono/http-exception";

/** The keys a collector knows: their secrets by their names. */
export type Keys = ReadonlyMap<string, Uint8Array>;

/** What `X-Signature: key=NAME, mac=HEX` says. */
export interface Signature {
  readonly keyName: string;
  /** The HMAC-SHA256 of the body before compression. */
  readonly mac: Uint8Array;
}

/** Stands in for the secret of a key that has gone while the body arrived. */
const NO_SECRET = randomBytes(32);

/** @throws {HTTPException} 403 when there is no signature or it cannot be read. */
export function parseSignature(header: string | undefined): Signature {
  const match = /^key=(.+), mac=([0-9a-f]{64})$/i.exec(header ?? "");
  if (!match)
    throw new HTTPException(403, { message: "No X-Signature header of the form key=NAME, mac=HEX." });
  return { keyName: match[1]!, mac: Buffer.from(match[2]!, "hex") };
}

/**
 * Rejects a key that nobody has, before any of the body is read. The answer is that to a wrong MAC; how soon it
 * comes does tell them apart, and names of keys are no secrets.
 *
 * @throws {HTTPException} 403
 */
export function requireKnownKey({ keyName }: Signature, keys: Keys): void {
  if (!keys.has(keyName)) throw unverified();
}

/**
 * Compares in constant time.
 *
 * @throws {HTTPException} 403 when the body was not signed with a key that is known.
 */
export function verifySignature(body: Uint8Array, signature: Signature, keys: Keys): void {
  const secret = keys.get(signature.keyName);
  const mac = createHmac("sha256", secret ?? NO_SECRET)
    .update(body)
    .digest();
  const matches = timingSafeEqual(mac, signature.mac);
  if (!matches || !secret) throw unverified();
}

function unverified(): HTTPException {
  return new HTTPException(403, { message: "Unknown key or wrong MAC." });
}
