/** The signatures of a batch: of its body, and of the ids of its events. */
import { createHmac, timingSafeEqual } from "node:crypto";

/** The header that signs the body. */
export const SIGNATURE_HEADER = "X-Signature";

/** The header that signs `Event-Ids`. */
export const EVENT_IDS_SIGNATURE_HEADER = "Event-Ids-Signature";

/** The largest difference of the time in `Event-Ids-Signature` and the collector's clock, in milliseconds: five minutes. */
const MAX_SIGNATURE_AGE_MS = 300_000;

/** A signing key. */
export interface SigningKey {
  /** The name by which the collector finds the secret. */
  readonly name: string;
  /** The secret bytes. */
  readonly secret: Uint8Array;
}

/** The parts of `X-Signature`. */
export interface BodySignature {
  readonly keyName: string;
  /** The HMAC-SHA256 of the uncompressed body, in hex. */
  readonly mac: string;
}

/** Signs an uncompressed body. */
export function signBody(body: Uint8Array, { name, secret }: SigningKey): BodySignature {
  return { keyName: name, mac: hmac(secret, body).toString("hex") };
}

/**
 * `key=NAME, mac=HEX`.
 * Source: baseplate.py `baseplate/sidecars/event_publisher.py`, `_sign_payload`.
 */
export function formatSignature({ keyName, mac }: BodySignature): string {
  return `key=${keyName}, mac=${mac}`;
}

/** Parses `X-Signature`. Undefined: there is no header, or its format is wrong. */
export function parseSignature(header: string | undefined): BodySignature | undefined {
  const [, keyName, mac] = /^key=(.+), mac=([\da-f]{64})$/i.exec(header ?? "") ?? [];
  return keyName === undefined || mac === undefined ? undefined : { keyName, mac };
}

/** Whether the body was signed with this secret. Compares in constant time. */
export function isBodySigned(body: Uint8Array, { mac }: BodySignature, secret: Uint8Array): boolean {
  return equalsHex(hmac(secret, body), mac);
}

/** The ids of a batch and the signature of its body. */
export interface SignedIds {
  /** The value of the header `Event-Ids`. */
  readonly eventIds: string;
  /** The MAC in the header `X-Signature`. */
  readonly bodyMac: string;
}

/**
 * `t=UNIX_SECONDS, mac=HEX`. The MAC is the HMAC-SHA256 of `T.EVENT_IDS.BODY_MAC`. So nobody without the secret can send a
 * body with other ids, and a captured request is valid for five minutes only.
 * Source of the format: Standard Webhooks, which signs `id.timestamp.body`.
 */
export function signEventIds(ids: SignedIds, secret: Uint8Array, nowMs: number): string {
  const seconds = String(Math.floor(nowMs / 1_000));
  return `t=${seconds}, mac=${eventIdsMac(ids, seconds, secret).toString("hex")}`;
}

/** The result of {@link checkEventIds}. `unsigned`: there is no header. `clock`: its time is too far from ours. */
export type EventIdsVerdict = "verified" | "unsigned" | "bad_mac" | "clock";

/** Checks the header `Event-Ids-Signature`. Compares in constant time. */
export function checkEventIds(
  header: string | undefined,
  ids: SignedIds,
  { secret, nowMs }: { readonly secret: Uint8Array; readonly nowMs: number },
): EventIdsVerdict {
  if (header === undefined) return "unsigned";
  const [, seconds, mac] = /^t=(\d{1,15}), mac=([\da-f]{64})$/i.exec(header) ?? [];
  if (seconds === undefined || mac === undefined) return "bad_mac";
  if (!equalsHex(eventIdsMac(ids, seconds, secret), mac)) return "bad_mac";
  return Math.abs(nowMs - Number(seconds) * 1_000) <= MAX_SIGNATURE_AGE_MS ? "verified" : "clock";
}

function eventIdsMac({ eventIds, bodyMac }: SignedIds, seconds: string, secret: Uint8Array): Buffer {
  return hmac(secret, `${seconds}.${eventIds}.${bodyMac}`);
}

function hmac(secret: Uint8Array, data: string | Uint8Array): Buffer {
  return createHmac("sha256", secret).update(data).digest();
}

function equalsHex(mac: Buffer, hex: string): boolean {
  return timingSafeEqual(mac, Buffer.from(hex, "hex"));
}
