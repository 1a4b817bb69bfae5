/** The protocol of `destination = http`: bodies by a template, and responses of services that know nothing of us. */
import { createHash, createHmac } from "node:crypto";
import { unescape as unescapePercents } from "node:querystring";
import type { BodyTemplate, HttpAuth, HttpDestinationConfig } from "../../config/http_config.ts";
import { lineOf } from "../../format.ts";
import { eachId, formatEventIds } from "../../wire/event_ids.ts";
import { saysFailure } from "../../wire/rejections.ts";
import type { LeasedBatch, Outcome, RejectedEvent, StoredEvent } from "./destination.ts";
import type { HttpHeaders, HttpProtocol, SentEvents } from "./http.ts";
import {
  failureOf,
  foreignRejection,
  foreignSuccess,
  type HttpResponse,
  isForeignStatus,
  isSuccess,
  KEPT_RESPONSE_CHARS,
  misconfigured,
  rejectionOf,
  TOO_LARGE,
  UNPROCESSABLE,
} from "./http_response.ts";

/**
 * How much of a response is read, in bytes: of 25,000 events, the smallest that fill a batch, Elasticsearch may reject
 * each with 600 bytes. A response that is cut is no acceptance, and the batch would be sent forever.
 */
const MAX_RESPONSE_BYTES = 16_777_216;

/** Speaks with any service. */
export function endpointProtocol(config: HttpDestinationConfig, queue: string): HttpProtocol {
  const body = new BodyWriter(config.body, queue);
  const headers = {
    "Content-Type": config.bodyKind === "ndjson" ? "application/x-ndjson" : "application/json",
    ...authorization(config.auth),
  };
  for (const [name, value] of Object.entries(config.headers))
    setHeader(headers, name, latin1(value.reveal()));
  return {
    emptyBatchBytes: body.emptyBytes,
    eventOverheadBytes: body.eventOverheadBytes,
    maxResponseBytes: MAX_RESPONSE_BYTES,
    headers,
    secrets: secretsOf(config, headers),
    write: (batch) => body.write(batch),
    sign: (bytes, sent) => signer(config.auth, bytes, requestId(sent)),
    outcomeOf: (response, sent) => outcomeOf(response, sent, config),
  };
}

/** Headers whose values are no secrets, and help to understand a response. */
const PUBLIC_HEADER = /^(?:accept|content|user-agent)/i;

/** Parameters of a URL whose values may be secrets. */
const SECRET_PARAMETER = /auth|code|key|pass|secret|sig|token/i;

/** See {@link HttpProtocol.secrets}. */
function secretsOf(
  { url, shownUrl, headers, auth }: HttpDestinationConfig,
  { Authorization = "" }: HttpHeaders,
): string[] {
  const { pathname, searchParams } = new URL(url);
  const hidden = pathname.split("/").filter((part) => !shownUrl.split("/").includes(part));
  const parameters = [...searchParams].filter(([name]) => SECRET_PARAMETER.test(name));
  const values = Object.entries(headers).filter(([name]) => !PUBLIC_HEADER.test(name));
  const texts = [
    Authorization,
    ...hidden.flatMap((part) => [part, unescapePercents(part)]),
    ...parameters.map(([, value]) => value),
    ...values.map(([, value]) => latin1(value.reveal())),
  ];
  if (auth.kind === "basic") texts.push(latin1(auth.password.reveal()));
  return texts.map((text) => text.replace(/^[A-Za-z]+ /, "")); // without the scheme, such as Bearer
}

/** Names of headers are the same in any case. */
function setHeader(headers: Record<string, string>, name: string, value: string): void {
  const same = Object.keys(headers).find((other) => other.toLowerCase() === name.toLowerCase());
  headers[same ?? name] = value;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

function authorization(auth: HttpAuth): Record<string, string> {
  if (auth.kind === "bearer") return { Authorization: `Bearer ${latin1(auth.token.reveal())}` };
  if (auth.kind !== "basic") return {};
  const credentials = Buffer.concat([auth.user.reveal(), Buffer.from(":"), auth.password.reveal()]);
  return { Authorization: `Basic ${credentials.toString("base64")}` };
}

/** The longest id of a request, in characters: what services take as an `Idempotency-Key`. */
const MAX_REQUEST_ID_CHARS = 255;

/** The same for the same events, on each attempt. */
function requestId({ queueUuid, ranges }: SentEvents): string {
  const ids = formatEventIds(queueUuid, ranges);
  if (ids.length <= MAX_REQUEST_ID_CHARS) return ids;
  return `${queueUuid}:${createHash("sha256").update(ids).digest("hex")}`;
}

/**
 * Names the request, and signs it where that is asked for. Source: the draft of the IETF for `Idempotency-Key`, which is a
 * string in quotes; the specification of Standard Webhooks.
 */
function signer(auth: HttpAuth, body: Uint8Array, id: string): () => HttpHeaders {
  const idempotency = { "Idempotency-Key": `"${id}"` };
  if (auth.kind !== "standard-webhooks") return () => idempotency;
  return () => {
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const hmac = createHmac("sha256", auth.secret.reveal()).update(`${id}.${timestamp}.`).update(body);
    return {
      ...idempotency,
      "webhook-id": id,
      "webhook-timestamp": timestamp,
      "webhook-signature": `v1,${hmac.digest("base64")}`,
    };
  };
}

/** What stands for something of the event, and how much that adds to the event's own size, in bytes, at most. */
const FIELD_BYTES: Readonly<Record<string, number>> = {
  "{event}": 0,
  "{event_string}": 2,
  "{id}": 53,
  "{put_at_s}": 14,
  "{put_at_ms}": 13,
};

const PLACE = new RegExp(`(${Object.keys(FIELD_BYTES).join("|")})`);

/** Writes bodies by a template. */
class BodyWriter {
  /** How large a body without an event is, in bytes. */
  readonly emptyBytes: number;
  /** How much an event adds in addition to its own size, in bytes. `{event_string}` adds an escape for each quote to that. */
  readonly eventOverheadBytes: number;
  readonly #before: Buffer;
  readonly #between: Buffer;
  readonly #after: Buffer;
  /** Texts, and between them what stands for something of the event. */
  readonly #parts: readonly (Buffer | ((event: StoredEvent, queueUuid: string) => Uint8Array))[];
  readonly #isJoined: boolean;

  constructor({ before, event, between, after }: BodyTemplate, queue: string) {
    const text = (template: string): Buffer => Buffer.from(template.replaceAll("{queue}", queue));
    [this.#before, this.#between, this.#after] = [text(before), text(between), text(after)];
    this.#parts = event
      .split(PLACE)
      .filter((part) => part !== "")
      .map((part) => FIELDS[part] ?? text(part));
    this.#isJoined = event === "{event}" && between === ",";
    this.emptyBytes = this.#before.length + this.#after.length;
    const sizes = event.split(PLACE).map((part) => FIELD_BYTES[part] ?? Buffer.byteLength(part));
    this.eventOverheadBytes = sizes.reduce((sum, size) => sum + size, this.#between.length);
  }

  write({ queueUuid, joined, events }: LeasedBatch): Buffer {
    if (this.#isJoined) return Buffer.concat([this.#before, joined, this.#after]);
    const pieces: Uint8Array[] = [this.#before];
    for (const [index, event] of events().entries()) {
      if (index > 0) pieces.push(this.#between);
      for (const part of this.#parts) pieces.push(typeof part === "function" ? part(event, queueUuid) : part);
    }
    return Buffer.concat([...pieces, this.#after]);
  }
}

const FIELDS: Readonly<Record<string, (event: StoredEvent, queueUuid: string) => Uint8Array>> = {
  "{event}": ({ body }) => lineOf(body),
  "{event_string}": ({ body }) => Buffer.from(JSON.stringify(Buffer.from(body).toString())),
  "{id}": ({ id }, queueUuid) => Buffer.from(`${queueUuid}:${id}`),
  "{put_at_s}": ({ putAtMs }) => Buffer.from((putAtMs / 1_000).toFixed(3)),
  "{put_at_ms}": ({ putAtMs }) => Buffer.from(String(putAtMs)),
};

/** What to do about a status, for people. */
const ADVICE: readonly (readonly [statuses: readonly number[], advice: string])[] = [
  [[300, 301, 302, 303, 307, 308], "a redirect, which is never followed: see http.url"],
  [[401, 403], "see http.auth and its secret"],
  [[407], "see the user and password of http.proxy"],
  [[404, 405, 410], "see http.url"],
  [[406, 415], "see http.body, http.compression and http.header.content-type"],
];

function adviceOn(status: number): string | undefined {
  return ADVICE.find(([statuses]) => statuses.includes(status))?.[1];
}

function outcomeOf(response: HttpResponse, sent: SentEvents, config: HttpDestinationConfig): Outcome {
  const { status } = response;
  const { acceptedStatuses, rejectedStatuses, response: kind } = config;
  const isAccepted = acceptedStatuses?.includes(status) ?? (isSuccess(status) && !isForeignStatus(status));
  if (isAccepted) return foreignSuccess(response) ?? READERS[kind](response, sent, config);
  const isRejected = rejectedStatuses.includes(status);
  if (isAboutRequest(response, kind))
    return failureOf(response, isRejected ? ABOUT_REQUEST : adviceOn(status));
  if (!isRejected && !(kind === "clickhouse" && isDataError(response)))
    return failureOf(response, adviceOn(status));
  return foreignRejection(response, sent.count) ?? rejectionOf(response);
}

const ABOUT_REQUEST = "which is about the request, not about an event: see http.url and http.template.event";

/**
 * Whether a service that judges events one by one, or by codes, rejects the request as such: a wrong query, template or
 * index must not make dead letters. A request that is too large is halved.
 */
function isAboutRequest(response: HttpResponse, kind: HttpDestinationConfig["response"]): boolean {
  if (response.status === TOO_LARGE) return false;
  if (kind === "elasticsearch") return true;
  const code = kind === "clickhouse" ? clickhouseCode(response) : undefined;
  return code !== undefined && code !== BAD_ARGUMENTS && !DATA_ERRORS.has(code);
}

type Reader = (response: HttpResponse, sent: SentEvents, config: HttpDestinationConfig) => Outcome;

/** What the body of a success says. */
const READERS: Readonly<Record<HttpDestinationConfig["response"], Reader>> = {
  status: readAnything,
  any: () => ({ kind: "accepted" }),
  clickhouse: readInsert,
  elasticsearch: readBulk,
  otlp: readPartialSuccess,
};

/** Whatever it says, but not that something failed. */
function readAnything(response: HttpResponse): Outcome {
  if (!saysFailure(response.text)) return { kind: "accepted" };
  return misconfigured(response, "which reports a failure: see http.response");
}

/** ClickHouse answers an insert with an empty body; it may fail after it has sent 200, and then says so behind it. */
function readInsert(response: HttpResponse): Outcome {
  if (response.text.trim() === "") return { kind: "accepted" };
  return isDataError(response)
    ? rejectionOf(response)
    : misconfigured(response, "behind which ClickHouse reports an error");
}

/**
 * Codes of what is wrong with a row: it cannot be parsed, or does not fit the table. Older versions answer them with 500.
 * Source: ClickHouse's `src/Common/ErrorCodes.cpp`.
 */
const DATA_ERRORS = new Set([
  ...[6, 25, 26, 27, 38, 41, 53, 69, 70, 72, 117, 130, 131, 321, 349, 376, 407, 441, 467, 675, 676, 691],
]);

/** What older versions say of an unknown value of an Enum, and all of a wrong setting. */
const BAD_ARGUMENTS = 36;

function clickhouseCode({ text }: HttpResponse): number | undefined {
  const [, code] = /^\s*Code: (\d+)\b/.exec(text) ?? [];
  return code === undefined ? undefined : Number(code);
}

function isDataError(response: HttpResponse): boolean {
  return DATA_ERRORS.has(clickhouseCode(response) ?? Number.NaN);
}

/** An item of the response to a bulk request, by the kind of action, such as `create`. */
type BulkItem = Readonly<Record<string, { readonly status?: unknown; readonly error?: unknown }>>;

const CONFLICT = 409;

/** Errors with status 400 that any event gets: no such pipeline, an alias without an index, `index` into a data stream. */
const ABOUT_INDEX = /pipeline with id|no write index|op_type of create/;

/**
 * Elasticsearch and OpenSearch answer 200, and say in `items` what happened to each event. A conflict is an event that it
 * has under this `_id`. Items are judged as responses are, so a missing index keeps the events.
 */
function readBulk(bulk: HttpResponse, { ranges, count }: SentEvents, config: HttpDestinationConfig): Outcome {
  const { errors, items } = parseRecord(bulk.text);
  if (errors === false && items === undefined) return { kind: "accepted" }; // with filter_path
  if (!Array.isArray(items) || items.length !== count)
    return misconfigured(bulk, `which does not account for the ${count} events that were sent`);
  const ids = [...eachId(ranges)];
  const results = (items as BulkItem[]).map((item, index) => {
    const { status, error } = Object.values(Object(item) as BulkItem)[0] ?? {};
    const response = JSON.stringify(error ?? item).slice(0, KEPT_RESPONSE_CHARS);
    return { id: ids[index]!, status: Number(status), response };
  });
  const isRejected = ({ status, response }: RejectedEvent): boolean =>
    config.rejectedStatuses.includes(status) && !ABOUT_INDEX.test(response);
  const duplicates = results.filter(({ status }) => status === CONFLICT).length;
  const missing = results.filter(({ status }) => !isSuccess(status) && status !== CONFLICT);
  const rejected = missing.filter(isRejected);
  const kept = missing.filter((result) => !isRejected(result));
  const [failed] = kept;
  if (missing.length === 0) return { kind: "accepted", duplicates };
  if (failed === undefined) return { kind: "partial", rejected, undelivered: [], duplicates };
  const { status, response: text } = failed;
  const failure = failureOf({ ...bulk, status, text }, adviceOn(status));
  if (kept.length === count) return failure;
  return { kind: "partial", rejected, undelivered: kept.map(({ id }) => id), duplicates, failure };
}

/**
 * OTLP answers 200, and how many records it rejected, but not which. Halving finds them; those that it took arrive again.
 * Source: the OTLP specification, "Partial Success".
 */
function readPartialSuccess(response: HttpResponse): Outcome {
  const { partialSuccess } = parseRecord(response.text);
  const { rejectedLogRecords, errorMessage } = Object(partialSuccess) as Record<string, unknown>;
  if (/^\s*[^\s{]/.test(response.text))
    return misconfigured(response, "which is not OTLP in JSON: see http.url");
  if (Number(rejectedLogRecords ?? 0) === 0) return readAnything(response);
  return {
    kind: "rejected",
    status: UNPROCESSABLE,
    response: String(errorMessage).slice(0, KEPT_RESPONSE_CHARS),
  };
}

function parseRecord(text: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return {};
  }
}
