/**
 * The body of a collector's response: how many events of a batch it accepted, and which it rejected.
 *
 * ```json
 * {"accepted":2,"duplicates":0}
 * {"error":"...","accepted":1,"duplicates":0,"rejected":[{"index":1,"error":"expected a number at byte 12"}]}
 * {"error":"...","code":"malformed"}
 * ```
 */

/** An event that the collector rejected. */
export interface Rejection {
  /** The index of the event in the request, from 0. */
  readonly index: number;
  /** What is wrong with it. */
  readonly error: string;
}

/** The longest `error` of a rejected event, in characters. An app's own check may quote the event. */
export const MAX_REJECTION_CHARS = 200;

/** The longest list of rejected events, in bytes of JSON: about 800 events. */
export const MAX_REJECTIONS_BYTES = 64_000;

/** How much of a response a publisher reads, in bytes: the longest list and the JSON around it. */
export const MAX_RESPONSE_BYTES = 65_536;

/**
 * The `code` of a 400: the body is not a batch (not gzip, not JSON, or the wrong structure). It concerns the whole body, so
 * it does not reject an event that is valid JSON.
 */
export const MALFORMED = "malformed";

/** A collector's report of a batch. Each event is counted in `accepted` or listed in `rejected`. */
export interface BatchReport {
  /** How many events are stored, including duplicates. */
  readonly accepted: number;
  /** How many of them were stored before; undefined: the collector does not say. */
  readonly duplicates?: number;
  /** The rejected events. Default: none. */
  readonly rejected?: readonly Rejection[];
}

/** Formats a report; with an `error` if events are rejected. */
export function formatReport(report: BatchReport): string {
  const { accepted, duplicates = 0, rejected = [] } = report;
  if (rejected.length === 0) return JSON.stringify({ accepted, duplicates });
  return JSON.stringify({ error: errorOf(report), accepted, duplicates, rejected });
}

/** Describes the rejected events, for people. */
export function errorOf({ accepted, rejected = [] }: BatchReport): string {
  const [first] = rejected;
  if (first === undefined) return "no event is rejected";
  const total = accepted + rejected.length;
  return `${rejected.length} of ${total} events are rejected, event ${first.index} first: ${first.error}`;
}

/**
 * Parses the report of a batch of `count` events.
 *
 * - `silent`: it is not JSON, or does not mention events, like the responses of baseplate.py's collectors.
 * - `contradictory`: it does not account for each event, reports a failure, is a list of something, or is broken JSON.
 */
export function readReport(text: string, count: number): BatchReport | "silent" | "contradictory" {
  const json = parseJson(text);
  if (json === undefined)
    return /^\s*[{[]/.test(text) || isFailedStatus(text.trim()) ? "contradictory" : "silent";
  if (!isRecord(json)) return isFalseOrList(json) ? "contradictory" : "silent";
  const { accepted, duplicates, rejected } = json;
  if (!isAboutEvents(json)) return isFailure(json) ? "contradictory" : "silent";
  const named = readRejections(rejected ?? [], count);
  if (named === undefined || accepted !== count - named.length) return "contradictory";
  const isCount = Number.isInteger(duplicates) && Number(duplicates) >= 0 && Number(duplicates) <= accepted;
  return { accepted, rejected: named, ...(isCount && { duplicates: Number(duplicates) }) };
}

function isRecord(json: unknown): json is Record<string, unknown> {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function isAboutEvents({ accepted, rejected }: Record<string, unknown>): boolean {
  return rejected !== undefined || (accepted !== undefined && accepted !== true);
}

/** Whether it is no report of a batch. `null`, `true`, `"ok"` and an empty list are silent. */
function isFalseOrList(json: unknown): boolean {
  return json === false || (Array.isArray(json) && json.length > 0);
}

/** Words in the names of fields that count or list what failed, such as `FailedPutCount` or `insertErrors`. */
const FAILURE_WORDS =
  /(?:^|_)(?:err|errcode|errno|errors?|fail|failed|failures?|invalid|reject(?:ed|ions?|s)?|dropped|filtered|quarantined|unprocessed)(?:_|$)/;

/** Names of fields that say whether something worked. */
const SUCCESS = /^(?:ok|success|succeeded|successful|acknowledged|accepted)$/i;

/** Names of fields with a status in words or of HTTP. */
const STATUS = /^(?:status|status_?code|code|result)$/i;

/**
 * Whether it reports a failure as many APIs do, with status 200. A record within it may do so, too, or one of a list:
 * `partialSuccess`, or the `offsets` of Kafka's REST proxy. What is within those may be events that are sent back.
 */
function isFailure(json: Record<string, unknown>, isWithin = false): boolean {
  return Object.entries(json).some(([name, value]) => {
    if (isFailureField(name, value)) return true;
    return !isWithin && itemsOf(value).some((item) => isFailure(item, true));
  });
}

function isFailureField(name: string, value: unknown): boolean {
  if (/^errors?$/i.test(name)) return Boolean(value) && !(Array.isArray(value) && value.length === 0);
  if (SUCCESS.test(name)) return value === false;
  if (STATUS.test(name)) return isFailedStatus(value);
  const words = name.replace(/(?<=[a-z\d])(?=[A-Z])|[^A-Za-z\d]+/g, "_").toLowerCase();
  if (!FAILURE_WORDS.test(words)) return false;
  return /code|errno/.test(words) ? isErrorCode(value) : isMany(value);
}

/** Codes of an error are of any API's own, except 0 and what HTTP says of a success. */
function isErrorCode(value: unknown): boolean {
  return typeof value === "number" && value !== 0 && !(value >= 200 && value < 300);
}

/** Whether it is true, a count above 0, which may be a text, or a list with something in it. */
function isMany(value: unknown): boolean {
  return (
    value === true ||
    (Array.isArray(value) ? value.length > 0 : typeof value !== "object" && Number(value) > 0)
  );
}

/**
 * Whether the response of a service of another kind says, in the words of many APIs, that something failed: at all, or
 * for one of its items, in a list or a line each.
 */
export function saysFailure(text: string): boolean {
  const json = parseJson(text);
  if (json !== undefined)
    return json === false || json === 0 || itemsOf(json).some((item) => isFailure(item));
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const items = lines.map(parseJson);
  if (items.includes(undefined)) return /^\s*\{/.test(text) || isFailedStatus(text.trim());
  return items.flatMap(itemsOf).some((item) => isFailure(item));
}

function itemsOf(json: unknown): Record<string, unknown>[] {
  return (Array.isArray(json) ? json : [json]).filter(isRecord);
}

/** `"error"`, `"failed"`, or the status that the response should have. */
function isFailedStatus(status: unknown): boolean {
  if (typeof status === "number") return status >= 400 && status < 600;
  return typeof status === "string" && /^(?:error|fail)/i.test(status);
}

/** Whether a response is our collector's 400 for a body that it could not read. */
export function isMalformed(text: string): boolean {
  return (Object(parseJson(text)) as { code?: unknown }).code === MALFORMED;
}

/** The rejections in ascending order; undefined: an index is not in the batch, or occurs twice. */
function readRejections(list: unknown, count: number): Rejection[] | undefined {
  if (!Array.isArray(list)) return undefined;
  const named = new Map<number, Rejection>();
  for (const item of list) {
    const { index, error } = Object(item) as { index?: unknown; error?: unknown };
    if (typeof index !== "number" || !Number.isInteger(index) || index < 0 || index >= count)
      return undefined;
    named.set(index, { index, error: String(error ?? "") });
  }
  if (named.size !== list.length) return undefined;
  return [...named.values()].sort((one, other) => one.index - other.index);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
