/**
 * What the settings of a JetStream stream can lose of the events that it acknowledges.
 *
 * Source: `StreamConfig` and `StreamInfo` of nats-server, `server/stream.go`; `persist_mode` is of NATS' ADR-56.
 *
 * @module
 */
import { MAX_EVENT_BYTES } from "../wire/batch_format.ts";
import { BACKOFF_MAX_MS, LEASE_MARGIN_MS } from "../wire/retry_after.ts";

/** What `$JS.API.STREAM.INFO` answers, as far as it is read. Durations are in nanoseconds; a server leaves out what it does not know. */
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

/** What the stream must fit. */
export interface StreamNeeds {
  /** How long a batch waits for its answers, in milliseconds. */
  readonly timeoutMs: number;
  /** The largest message, in bytes. Default: 102,400, the largest event. */
  readonly maxMessageBytes?: number | undefined;
}

/** Events younger than this should be there for consumers that were away, in milliseconds: a day. */
const MIN_MAX_AGE_MS = 86_400_000;

type Rule = (
  config: StreamInfo["config"],
  about: { readonly consumers: number; readonly isCluster: boolean } & StreamNeeds,
) => string | false | undefined;

/** One rule a line: what is lost, when, and what to do. */
const RULES: readonly Rule[] = [
  ({ no_ack }) =>
    no_ack === true &&
    "no_ack=true: it never acknowledges an event, so every event is sent again and again, and none leaves its queue. Set no_ack=false",
  ({ mirror }) =>
    mirror != null &&
    "mirror: it copies another stream and takes no events. Send them to the stream that it copies",
  ({ sealed }) => sealed === true && "sealed=true: it takes no more events. Send them to another stream",
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
    "num_replicas=1 in a cluster: acknowledged events are lost with the one server that has them, and its power cut takes those of the last minutes. Use 3",
];

/** What can be lost by a stream's settings, a sentence or two each; none: nothing that is known. */
export function streamRisks({ config, state, cluster }: StreamInfo, needs: StreamNeeds): string[] {
  const about = { ...needs, consumers: state?.consumer_count ?? 0, isCluster: Boolean(cluster?.name) };
  return RULES.map((rule) => rule(config, about))
    .filter((risk) => typeof risk === "string")
    .map((risk) => `stream ${config.name}: ${risk}`);
}

/** The lease of a publisher that was killed, and the longest time that it leaves failing servers alone. */
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
