/**
 * Which JetStream streams take the events, and how their settings can lose events that they acknowledged.
 *
 * Sources: nats-server, `server/jetstream_api.go` (`$JS.API.STREAM.NAMES`, `$JS.API.STREAM.INFO`) and
 * `server/stream.go` (`StreamConfig`, `StreamInfo`); NATS' ADR-56 (`persist_mode`).
 */
import { MAX_EVENT_BYTES } from "../wire/batch_format.ts";
import { BACKOFF_MAX_MS, LEASE_MARGIN_MS } from "../wire/retry_after.ts";
import type { Failure } from "./pending_messages.ts";
import type { Session } from "./session.ts";

/** How long a NATS server may take to say why no stream responds, in milliseconds: a publish waits for it. */
const DIAGNOSIS_TIMEOUT_MS = 1_000;

/** The most streams that are asked for their settings: a subject with a placeholder may match many. */
const MAX_STREAMS = 32;

/** A response of the JetStream API, which may be an error in NATS' words. */
type ApiResponse<T> = Partial<T> & {
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description: string };
};

/** `JSStreamNotFoundErr` in `server/errors.json`. */
const STREAM_NOT_FOUND = 10059;

/** Where a publisher sends its events. */
export interface StreamQuery {
  /** The subjects of the events, with `*` for a token that differs. */
  readonly subjects: string;
  /** The one stream that may take the events; undefined: each stream that has one of the subjects. */
  readonly stream: string | undefined;
  /** How long the server may take to respond to a question, in milliseconds. */
  readonly timeoutMs: number;
}

/**
 * The settings of the streams that take the events; none: there is no stream, or it was created a moment ago and the
 * leader of the cluster does not list it yet (seen once in 480 times with nats-server 2.9).
 *
 * @throws an error when a question is not allowed, gets no response, or gets an error such as a stream without a leader
 */
export async function askStreams(
  session: Session,
  { subjects, stream, timeoutMs }: StreamQuery,
): Promise<StreamInfo[]> {
  const names =
    stream === undefined ? await askStreamNames(session, subjects, timeoutMs) : { streams: [stream] };
  if (names.error !== undefined) throw new Error(names.error.description);
  const infos = (names.streams ?? [])
    .slice(0, MAX_STREAMS)
    .map((name) => ask<StreamInfo>(session, `STREAM.INFO.${name}`, { body: "", timeoutMs }));
  return (await Promise.all(infos)).filter(isStreamInfo);
}

/** A stream that does not exist is left out: publishing reports it. @throws an error if the settings are unknown */
function isStreamInfo(response: ApiResponse<StreamInfo>): response is StreamInfo {
  if (response.config !== undefined) return true;
  if (response.error?.err_code === STREAM_NOT_FOUND) return false;
  throw new Error(response.error?.description ?? "the server's response has no settings of the stream");
}

/**
 * Says why nobody responded on a subject. A server says the same of a stream that does not exist, of one that has no
 * leader, and when there is no JetStream. So this asks which streams the subject belongs to.
 */
export async function diagnoseNoResponders(session: Session, subject: string): Promise<Failure> {
  try {
    const { streams, error } = await askStreamNames(session, subject, DIAGNOSIS_TIMEOUT_MS);
    if (error !== undefined) return unavailable(subject, error.description);
    const [stream] = streams ?? [];
    if (stream !== undefined) return unavailable(subject, `stream ${stream} has no leader at the moment`);
    const reason = `no stream takes subject ${subject}: create one, such as: nats stream add EVENTS --subjects='${subject}'`;
    return { kind: "misconfigured", reason };
  } catch (error) {
    const { name, message, cause } = error as Error;
    const hasNoApi = (cause as Error | undefined)?.name === "NoResponders" || name === "NoResponders";
    if (!hasNoApi)
      return unavailable(subject, `no stream responds, and the streams cannot be listed: ${message}`);
    const reason = `JetStream is not enabled on the server at ${session.server}, or not for this account`;
    return { kind: "misconfigured", reason };
  }
}

function unavailable(subject: string, why: string): Failure {
  return { kind: "unavailable", reason: `subject ${subject}: ${why}` };
}

/** The names of the streams that take a subject. @throws as {@link ask} does */
async function askStreamNames(
  session: Session,
  subject: string,
  timeoutMs: number,
): Promise<ApiResponse<{ readonly streams: readonly string[] | null }>> {
  return await ask(session, "STREAM.NAMES", { body: JSON.stringify({ subject }), timeoutMs });
}

/** @throws the library's error when the question is not allowed, or gets no response */
async function ask<T>(
  session: Session,
  question: string,
  { body, timeoutMs }: { readonly body: string; readonly timeoutMs: number },
): Promise<ApiResponse<T>> {
  const message = await session.request(`$JS.API.${question}`, body, timeoutMs);
  return message.json<ApiResponse<T>>();
}

/** The fields of `$JS.API.STREAM.INFO` that are read. Durations are in nanoseconds. An old server omits new fields. */
export interface StreamInfo {
  readonly config: {
    readonly name: string;
    readonly retention?: "limits" | "interest" | "workqueue";
    readonly storage?: "file" | "memory";
    readonly discard?: "old" | "new";
    readonly discard_new_per_subject?: boolean;
    readonly max_msgs?: number;
    readonly max_bytes?: number;
    readonly max_age?: number;
    readonly max_msgs_per_subject?: number;
    readonly max_msg_size?: number;
    readonly num_replicas?: number;
    readonly no_ack?: boolean;
    readonly duplicate_window?: number;
    readonly sealed?: boolean;
    readonly mirror?: object | null;
    readonly persist_mode?: string;
  };
  readonly state?: { readonly consumer_count?: number };
  /** Undefined or without a name: the server is not part of a cluster. */
  readonly cluster?: { readonly name?: string } | null;
}

/** What the stream must suit. */
export interface StreamNeeds {
  /** How long a batch waits for its responses, in milliseconds. */
  readonly timeoutMs: number;
  /** The largest message, in bytes. Default: 102,400, the largest event. */
  readonly maxMessageBytes?: number | undefined;
}

/** How long a stream should keep events for consumers that are down, in milliseconds: a day. */
const MIN_MAX_AGE_MS = 86_400_000;

type Rule = (
  config: StreamInfo["config"],
  about: { readonly consumers: number; readonly isCluster: boolean } & StreamNeeds,
) => string | false | undefined;

/** A rule for each risk: the setting, what is lost, and what to do. */
const RULES: readonly Rule[] = [
  ({ no_ack }) =>
    no_ack === true &&
    "no_ack=true: it never acknowledges an event, so every event is sent again and again, and none leaves its queue. Set no_ack=false",
  ({ mirror }) =>
    mirror != null &&
    "mirror: it copies another stream and accepts no events. Send them to the stream that it copies",
  ({ sealed }) => sealed === true && "sealed=true: it accepts no more events. Send them to another stream",
  ({ storage }) =>
    storage === "memory" &&
    "storage=memory: acknowledged events are lost when its servers restart. Make it with storage=file",
  ({ persist_mode }) =>
    persist_mode === "async" &&
    "persist_mode=async: events are acknowledged before they are written, so a crash of its server loses them. Make it with the default persist_mode",
  ({ retention }, { consumers }) =>
    retention === "interest" && consumers === 0
      ? "retention=interest without a consumer: every event is acknowledged and dropped at once. Make a consumer now, or use retention=limits"
      : retention === "interest" &&
        "retention=interest: acknowledged events that match no consumer's filter, or come after the last consumer is deleted, are dropped. Use retention=limits",
  ({ retention }, { consumers }) =>
    retention === "workqueue" &&
    consumers === 0 &&
    "retention=workqueue without a consumer: nobody reads the events, and they stay until a limit of the stream is reached. Make its consumer",
  ({ discard = "old", max_msgs = -1, max_bytes = -1 }) =>
    discard === "old" &&
    (max_msgs > 0 || max_bytes > 0
      ? `discard=old with ${limitOf(max_msgs, max_bytes)}: when the stream is full, its oldest events are dropped, read or not. Use discard=new: then events wait in their queues`
      : "discard=old: once max_msgs or max_bytes is set, a full stream drops its oldest events, read or not. Use discard=new: then events wait in their queues"),
  ({ max_msgs_per_subject = -1, discard, discard_new_per_subject }) =>
    max_msgs_per_subject > 0 &&
    !(discard === "new" && discard_new_per_subject === true) &&
    `max_msgs_per_subject=${max_msgs_per_subject}: of each subject only the newest ${max_msgs_per_subject} events are kept, read or not. Set it to -1`,
  ({ max_age = 0 }) =>
    max_age > 0 &&
    milliseconds(max_age) < MIN_MAX_AGE_MS &&
    `max_age=${duration(milliseconds(max_age))}: a consumer that is away for longer never sees the events of that time. Set max_age to several days`,
  ({ max_msg_size = -1 }, { maxMessageBytes = MAX_EVENT_BYTES }) =>
    max_msg_size > 0 &&
    max_msg_size < maxMessageBytes &&
    `max_msg_size=${max_msg_size}: larger events become dead letters. Set it to -1, or above ${maxMessageBytes}`,
  ({ duplicate_window = 0, mirror }, needs) =>
    mirror == null &&
    milliseconds(duplicate_window) < minDuplicateWindowMs(needs) &&
    `duplicate_window=${duration(milliseconds(duplicate_window))}: an event that is sent again later is stored twice, and a publisher that was killed sends again after up to ${duration(minDuplicateWindowMs(needs))}. Set duplicate_window to 1h`,
  ({ num_replicas = 1 }, { isCluster }) =>
    num_replicas === 1 &&
    isCluster &&
    "num_replicas=1 in a cluster: acknowledged events are lost with the one server that has them, and a power cut of that server loses those of the last minutes. Use 3",
];

/** How a stream's settings can lose events, in a sentence or two each; none: no known risk. */
export function streamRisks({ config, state, cluster }: StreamInfo, needs: StreamNeeds): string[] {
  const about = { ...needs, consumers: state?.consumer_count ?? 0, isCluster: Boolean(cluster?.name) };
  return RULES.map((rule) => rule(config, about))
    .filter((risk) => typeof risk === "string")
    .map((risk) => `stream ${config.name}: ${risk}`);
}

/** A killed publisher's lease must expire, and then the servers may fail for one longest backoff. */
function minDuplicateWindowMs({ timeoutMs }: StreamNeeds): number {
  return timeoutMs + LEASE_MARGIN_MS + BACKOFF_MAX_MS;
}

function limitOf(maxMessages: number, maxBytes: number): string {
  return maxMessages > 0 ? `max_msgs=${maxMessages}` : `max_bytes=${maxBytes}`;
}

function milliseconds(nanoseconds: number): number {
  return nanoseconds / 1e6;
}

/** As NATS writes durations: `2m`, `90s`. */
function duration(ms: number): string {
  for (const [unit, sizeMs] of [
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1_000],
  ] as const)
    if (ms >= sizeMs && ms % sizeMs === 0) return `${ms / sizeMs}${unit}`;
  return `${ms}ms`;
}
