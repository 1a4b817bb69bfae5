/**
 * How a batch is signed: its body, and the ids of its events.
 *
 * @module
 */
import { createHmac, timingSafeEqual } from "node:crypto";

/** The header that signs the body. */
export const SIGNATURE_HEADER = "X-Signature";

/** The header that signs `Event-Ids`. */
export const EVENT_IDS_SIGNATURE_HEADER = "Event-Ids-Signature";

/** How far the time in `Event-Ids-Signature` may be from the collector's clock, in milliseconds: five minutes. */
const MAX_SIGNATURE_AGE_MS = 300_000;

/** The key that signs, as the collector knows it. */
export interface SigningKey {
  /** The name by which the collector finds the secret. */
  readonly name: string;
  /** What is signed with. */
  readonly secret: Uint8Array;
}

/** What `X-Signature` says. */
export interface BodySignature {
  readonly keyName: string;
  /** The HMAC-SHA256 of the body before compression, in hex, as in the header. */
  readonly mac: string;
}

/** Signs a body before it is compressed. */
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

/** Reads what {@link formatSignature} writes. Undefined: there is no header, or it has another form. */
export function parseSignature(header: string | undefined): BodySignature | undefined {
  const [, keyName, mac] = /^key=(.+), mac=([\da-f]{64})$/i.exec(header ?? "") ?? [];
  return keyName === undefined || mac === undefined ? undefined : { keyName, mac };
}

/** Whether the body was signed with this secret. Compares in constant time. */
export function isBodySigned(body: Uint8Array, { mac }: BodySignature, secret: Uint8Array): boolean {
  return equalsHex(hmac(secret, body), mac);
}

/** The ids of a batch, and the body that they belong to. */
export interface SignedIds {
  /** The header `Event-Ids`, as it is sent. */
  readonly eventIds: string;
  /** The MAC in `X-Signature`, as it is sent. */
  readonly bodyMac: string;
}

/**
 * `t=UNIX_SECONDS, mac=HEX`, where the MAC is the HMAC-SHA256 of `T.EVENT_IDS.BODY_MAC`. So nobody without the secret
 * can put other ids beside a body, and a request that was captured counts for five minutes only.
 * Source of the form: Standard Webhooks, which signs `id.timestamp.body`.
 */
export function signEventIds(ids: SignedIds, secret: Uint8Array, nowMs: number): string {
  const seconds = String(Math.floor(nowMs / 1_000));
  return `t=${seconds}, mac=${eventIdsMac(ids, seconds, secret).toString("hex")}`;
}

/** What an `Event-Ids-Signature` is worth: `unsigned` where there is none, `clock` where its time is too far from ours. */
export type EventIdsVerdict = "verified" | "unsigned" | "bad_mac" | "clock";

/** Checks what {@link signEventIds} writes. Compares in constant time. */
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
