/**
 * The body of a collector's response: how many events of the batch it accepted, and which it rejected.
 *
 * ```json
 * {"accepted":2,"duplicates":0}
 * {"error":"...","accepted":1,"duplicates":0,"rejected":[{"index":1,"error":"expected a number at byte 12"}]}
 * {"error":"...","code":"malformed"}
 * ```
 *
 * @module
 */

/** An event that the collector rejects. */
export interface Rejection {
  /** Which event of the request, from 0. */
  readonly index: number;
  /** What is wrong with it. */
  readonly error: string;
}

/** The longest `error` of a rejected event, in characters: an app's own may quote the event. */
export const MAX_REJECTION_CHARS = 200;

/** The longest list of rejected events, in bytes of JSON: some 800 of them. */
export const MAX_REJECTIONS_BYTES = 64_000;

/** How much of a response a publisher reads, in bytes: the longest list, and what is around it. */
export const MAX_RESPONSE_BYTES = 65_536;

/**
 * `code` of a 400: the body is not what the wire has (not gzip, not JSON, no batch). It was checked as a whole, so
 * this says nothing of an event that is JSON.
 */
export const MALFORMED = "malformed";

/** What a collector reports of a batch: `accepted` and `rejected` are all its events together. */
export interface BatchReport {
  /** How many events are stored now, those that were before included. */
  readonly accepted: number;
  /** How many of them were stored before; undefined: it does not say. */
  readonly duplicates?: number;
  /** Those it rejects. Default: none. */
  readonly rejected?: readonly Rejection[];
}

/** Writes a report of a batch; with `error` where events are rejected. */
export function formatReport(report: BatchReport): string {
  const { accepted, duplicates = 0, rejected = [] } = report;
  if (rejected.length === 0) return JSON.stringify({ accepted, duplicates });
  return JSON.stringify({ error: errorOf(report), accepted, duplicates, rejected });
}

/** Says which events are rejected, for people. */
export function errorOf({ accepted, rejected = [] }: BatchReport): string {
  const [first] = rejected;
  if (first === undefined) return "no event is rejected";
  const total = accepted + rejected.length;
  return `${rejected.length} of ${total} events are rejected, event ${first.index} first: ${first.error}`;
}

/**
 * Reads the report of a batch of `count` events. `silent`: it is not JSON, or says nothing of events, as the collectors
 * of baseplate.py do. `contradictory`: it does not account for each event that was sent, reports a failure, is a list
 * of something, or is broken JSON.
 */
export function readReport(text: string, count: number): BatchReport | "silent" | "contradictory" {
  const json = parseJson(text);
  if (json === undefined) return /^\s*[{[]/.test(text) ? "contradictory" : "silent";
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

/** Whether it says something that is not about a batch; `null`, `true`, `"ok"` and an empty list say nothing. */
function isFalseOrList(json: unknown): boolean {
  return json === false || (Array.isArray(json) && json.length > 0);
}

/** Whether JSON says in the words of many APIs that something failed: they answer 200 all the same. */
function isFailure({ error, errors, ok, success, status }: Record<string, unknown>): boolean {
  const has = (value: unknown): boolean => Boolean(value) && !(Array.isArray(value) && value.length === 0);
  return has(error) || has(errors) || ok === false || success === false || isFailedStatus(status);
}

/** Whether the response of a service of another kind says, in the words of many APIs, that something failed. */
export function saysFailure(text: string): boolean {
  const json = parseJson(text);
  return json === false || (isRecord(json) && isFailure(json));
}

/** `"error"`, `"failed"`, or the status that the answer should have had. */
function isFailedStatus(status: unknown): boolean {
  return typeof status === "number" ? status >= 400 : /^(?:error|fail)/i.test(String(status ?? ""));
}

/** Whether a response is the 400 of a collector such as ours that could not read the body. */
export function isMalformed(text: string): boolean {
  return (Object(parseJson(text)) as { code?: unknown }).code === MALFORMED;
}

/** In ascending order, each once; undefined: they are not events of the batch. */
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
