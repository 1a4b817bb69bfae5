/**
 * What a JetStream server answers to a message.
 *
 * Source: the PubAck and the error codes of nats-server, `server/stream.go` and `server/errors.json`.
 *
 * @module
 */
import type { Msg } from "@nats-io/transport-node";

/**
 * - `stored`: the stream has it, from now on or from before.
 * - `rejected`: the stream never takes this message.
 * - `no_stream`: nobody listens to the subject: no stream, one without a leader, or no JetStream at all.
 * - `unavailable`, `misconfigured`: as of a {@link Failure}.
 */
export type Answer =
  | { readonly kind: "stored"; readonly isDuplicate: boolean }
  | { readonly kind: "no_stream" }
  | { readonly kind: "rejected"; readonly reason: string; readonly isTooLarge: boolean }
  | { readonly kind: "unavailable" | "misconfigured"; readonly reason: string };

interface PubAck {
  readonly stream?: string;
  readonly duplicate?: boolean;
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string };
}

/** `err_code` of a message beyond the stream's `max_msg_size`. */
const MESSAGE_TOO_LARGE = 10_054;

/** `err_code` of `Nats-Expected-Stream` naming another stream than the one that took the subject. */
const OTHER_STREAM = 10_060;

const STORED: Answer = { kind: "stored", isDuplicate: false };
const DUPLICATE: Answer = { kind: "stored", isDuplicate: true };
const NO_STREAM: Answer = { kind: "no_stream" };

/** Reads an answer. */
export function readAnswer(message: Msg): Answer {
  const text = message.string();
  if (text === "" && message.headers?.code === 503) return NO_STREAM;
  const ack = parse(text);
  if (ack?.error !== undefined) return explain(ack.error);
  if (typeof ack?.stream === "string") return ack.duplicate === true ? DUPLICATE : STORED;
  return { kind: "misconfigured", reason: `who answered is no JetStream stream: ${text.slice(0, 200)}` };
}

function parse(text: string): PubAck | undefined {
  try {
    return JSON.parse(text) as PubAck;
  } catch {
    return undefined;
  }
}

function explain({ code, err_code, description = "no reason given" }: PubAck["error"] & object): Answer {
  const reason = `the stream answered ${code}: ${description} (${err_code ?? "no error code"})`;
  if (err_code === MESSAGE_TOO_LARGE)
    return { kind: "rejected", reason: `${reason}: see its max_msg_size`, isTooLarge: true };
  if (err_code === OTHER_STREAM)
    return { kind: "misconfigured", reason: `${reason}: another stream than nats.stream takes the subject` };
  if (description.startsWith("maximum "))
    return {
      kind: "unavailable",
      reason: `${reason}: the stream is full: raise its limits, or let it drop old messages`,
    };
  return { kind: code >= 500 || code === 429 || code === 408 ? "unavailable" : "misconfigured", reason };
}
