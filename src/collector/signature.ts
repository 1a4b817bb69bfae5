/** Verifies the signed headers of a request: who sent the batch, and the ids of its events. */
import { randomBytes } from "node:crypto";
import { HTTPException } from "hono/http-exception";
import { ConfigurationError } from "../errors.ts";
import { describe } from "../format.ts";
import { BOOLEAN, checkOptions, type OptionKinds, STRING } from "../options.ts";
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

/** A key of a collector. */
export interface CollectorKey {
  /** The secret that batches are signed with; at least one byte. */
  readonly secret: Uint8Array;
  /**
   * The name within which `Event-Ids` are unique. Keys that replace each other share one, so that an event that was
   * stored under the old key and is sent again under the new one is recognized. Default: the key's name.
   */
  readonly source?: string | undefined;
  /** Whether to reject requests without valid `Event-Ids`, with a 403. Default: false. */
  readonly requireIds?: boolean | undefined;
}

/** The key that signed a batch, with its defaults. */
interface VerifiedKey {
  readonly secret: Uint8Array;
  readonly source: string;
  readonly requireIds: boolean;
}

/** The keys of a collector, or only their secrets, by name. */
export type Keys = ReadonlyMap<string, Uint8Array | CollectorKey>;

const KEY_KINDS: OptionKinds<CollectorKey> = {
  secret: { expected: "a Uint8Array of at least one byte", matches: isSecret },
  source: STRING,
  requireIds: BOOLEAN,
};

/** Rejects keys without a secret, and unknown options of a key. @throws {ConfigurationError} it never shows a secret */
export function checkKeys(keys: Keys): void {
  if (!(keys instanceof Map))
    throw new ConfigurationError(`must be a Map of secrets, got ${describe(keys)}`, { key: "keys" });
  for (const [name, key] of keys) checkKey(`keys.${name}`, key instanceof Uint8Array ? { secret: key } : key);
}

function checkKey(path: string, key: CollectorKey): void {
  if (!isSecret(Object(key).secret)) {
    const problem =
      "must be a Uint8Array of at least one byte, or { secret, source, requireIds } with such a secret";
    throw new ConfigurationError(problem, { key: path });
  }
  try {
    checkOptions(key, KEY_KINDS);
  } catch (error) {
    const { problem, location } = error as ConfigurationError;
    throw new ConfigurationError(problem, { key: `${path}.${location.key}` });
  }
}

function isSecret(value: unknown): boolean {
  return value instanceof Uint8Array && value.length > 0;
}

/** Replaces the secret of a key that was removed while the body arrived. */
const NO_SECRET = randomBytes(32);

/**
 * Parses `X-Signature`, and rejects an unknown key before the body is read. The response is the same as for a wrong
 * MAC. The time that it takes differs, but names of keys are not secrets.
 *
 * @throws {HTTPException} 403 when there is no valid signature header, or the key is unknown
 */
export function requireSignature(headers: Headers, keys: Keys): BodySignature {
  const signature = parseSignature(headers.get(SIGNATURE_HEADER) ?? undefined);
  if (signature === undefined)
    throw new HTTPException(403, { message: "No X-Signature header of the form key=NAME, mac=HEX." });
  if (!keys.has(signature.keyName)) throw unverified();
  return signature;
}

/** Verifies the signature of a body. @throws {HTTPException} 403 when the key is unknown or the MAC is wrong */
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

/** What `Event-Ids` are checked with. */
interface IdsContext {
  readonly key: VerifiedKey;
  readonly signature: BodySignature;
  readonly eventCount: number;
  readonly status: CollectorStatus;
}

/**
 * Returns the ids of the events if there is one per event and they are signed. Otherwise the events are stored without
 * ids: they are valid, and a 400 would make dead letters of them. The status counts such requests, and the log names
 * the reason, since their events may be stored twice.
 *
 * @throws {HTTPException} 403 when the key requires ids: a publisher treats that as a wrong configuration, and keeps
 * its events
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
      message: `The key requires signed Event-Ids: ${IGNORED_IDS_REASONS[checked]}.`,
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
