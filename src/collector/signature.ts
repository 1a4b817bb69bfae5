/**
 * Who sent a batch, and which events it says they are: the headers that are signed, checked with the keys.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { HTTPException } from "hono/http-exception";
import { EVENT_IDS_HEADER, type EventIds, parseEventIds } from "../wire/event_ids.ts";
import {
  type BodySignature,
  checkEventIds,
  EVENT_IDS_SIGNATURE_HEADER,
  isBodySigned,
  parseSignature,
  SIGNATURE_HEADER,
} from "../wire/signature.ts";
import { logIgnoredIds } from "./log.ts";
import { type CollectorStatus, IGNORED_IDS_REASONS, type IgnoredIdsReason } from "./status.ts";

/** A key that a collector knows. */
export interface CollectorKey {
  /** What batches are signed with; at least one byte. */
  readonly secret: Uint8Array;
  /**
   * Within what `Event-Ids` are unique; default: the key's name. Keys that replace each other have the same, so that
   * an event that was stored under the one and is sent again under the other is known.
   */
  readonly source?: string | undefined;
  /** Whether requests whose `Event-Ids` cannot be used are rejected, with a 403; default false. */
  readonly requireIds?: boolean | undefined;
}

/** A key that has signed a batch, complete. */
interface VerifiedKey {
  readonly secret: Uint8Array;
  readonly source: string;
  readonly requireIds: boolean;
}

/** The keys a collector knows, or only their secrets, by their names. */
export type Keys = ReadonlyMap<string, Uint8Array | CollectorKey>;

/** Stands in for the secret of a key that has gone while the body arrived. */
const NO_SECRET = randomBytes(32);

/**
 * Reads `X-Signature`, and rejects a key that nobody has before any of the body is read. The answer is that to a wrong
 * MAC; how soon it comes does tell them apart, and names of keys are no secrets.
 *
 * @throws {HTTPException} 403 when there is no signature, it cannot be read, or nobody has its key
 */
export function requireSignature(headers: Headers, keys: Keys): BodySignature {
  const signature = parseSignature(headers.get(SIGNATURE_HEADER) ?? undefined);
  if (signature === undefined)
    throw new HTTPException(403, { message: "No X-Signature header of the form key=NAME, mac=HEX." });
  if (!keys.has(signature.keyName)) throw unverified();
  return signature;
}

/** @throws {HTTPException} 403 when the body was not signed with a key that is known */
export function verifySignature(body: Uint8Array, signature: BodySignature, keys: Keys): VerifiedKey {
  const { keyName } = signature;
  const found = keys.get(keyName);
  const { secret, source, requireIds } =
    found instanceof Uint8Array || found === undefined ? { secret: found } : found;
  const isSigned = isBodySigned(body, signature, secret ?? NO_SECRET);
  if (!isSigned || secret === undefined) throw unverified();
  return { secret, source: source ?? keyName, requireIds: requireIds ?? false };
}

function unverified(): HTTPException {
  return new HTTPException(403, { message: "Unknown key or wrong MAC." });
}

/** What a request is checked with. */
interface IdsContext {
  readonly key: VerifiedKey;
  readonly signature: BodySignature;
  readonly eventCount: number;
  readonly status: CollectorStatus;
}

/**
 * The ids of the events, if they name them one by one and are signed. Otherwise the events are stored without: they
 * are good, and a 400 would make dead letters of them. That they may be stored twice is counted, and said in the log.
 *
 * @throws {HTTPException} 403 when the key requires ids: a publisher takes it for a wrong configuration, and keeps its
 * events
 */
export function verifyEventIds(headers: Headers, context: IdsContext): EventIds | undefined {
  const { signature, key, eventCount, status } = context;
  const header = headers.get(EVENT_IDS_HEADER);
  const { keyName, mac: bodyMac } = signature;
  if (header === null && !key.requireIds) return undefined;
  const checked = check(headers, header, { key, bodyMac, eventCount });
  if (typeof checked === "object") return checked;
  status.ignoreIds(keyName, checked);
  logIgnoredIds(keyName, checked, header ?? "");
  if (key.requireIds)
    throw new HTTPException(403, {
      message: `The key requires Event-Ids that are signed: ${IGNORED_IDS_REASONS[checked]}.`,
    });
  return undefined;
}

function check(
  headers: Headers,
  eventIds: string | null,
  { key, bodyMac, eventCount }: { key: VerifiedKey; bodyMac: string; eventCount: number },
): EventIds | IgnoredIdsReason {
  if (eventIds === null) return "unsigned";
  const ids = parseEventIds(eventIds);
  if (ids?.count !== eventCount) return "malformed";
  const signature = headers.get(EVENT_IDS_SIGNATURE_HEADER) ?? undefined;
  const verdict = checkEventIds(signature, { eventIds, bodyMac }, { secret: key.secret, nowMs: Date.now() });
  return verdict === "verified" ? ids : verdict;
}
