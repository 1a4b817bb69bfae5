/**
 * Questions to JetStream about its streams.
 *
 * Source: `$JS.API.STREAM.NAMES` and `$JS.API.STREAM.INFO` of nats-server, `server/jetstream_api.go`.
 *
 * @module
 */
import type { Session } from "./session.ts";
import type { StreamInfo } from "./stream_settings.ts";
import type { Failure } from "./types.ts";

/** How long a NATS server may take to say which stream a subject belongs to, in milliseconds: it is asked when nobody answers to that. */
const NATS_STREAM_NAMES_TIMEOUT_MS = 1_000;

/** How many streams are asked about, at most: a subject with a place for a field may belong to many. */
const MAX_STREAMS = 32;

/** A response that may be an error instead, with NATS' words. */
type Response<T> = Partial<T> & { readonly error?: { readonly code: number; readonly description: string } };

/** Which events a publisher sends where. */
export interface StreamQuery {
  /** Their subjects, with `*` for a token that differs. */
  readonly subjects: string;
  /** The one stream that may take them; undefined: each that has one of the subjects. */
  readonly stream: string | undefined;
}

/** The names of the streams that take a subject. @throws the library's error when the question may not be asked or is not answered */
async function askStreamNames(
  session: Session,
  subject: string,
): Promise<Response<{ readonly streams: readonly string[] | null }>> {
  return await ask(session, "STREAM.NAMES", JSON.stringify({ subject }));
}

/**
 * What is known of the streams that take the events; none: there is no stream.
 *
 * @throws an error when a question may not be asked, or is not answered
 */
export async function askStreams(session: Session, { subjects, stream }: StreamQuery): Promise<StreamInfo[]> {
  const names = stream === undefined ? await askStreamNames(session, subjects) : { streams: [stream] };
  if (names.error !== undefined) throw new Error(names.error.description);
  const infos = (names.streams ?? [])
    .slice(0, MAX_STREAMS)
    .map((name) => ask<StreamInfo>(session, `STREAM.INFO.${name}`, ""));
  return (await Promise.all(infos)).filter(isStreamInfo);
}

async function ask<T>(session: Session, question: string, body: string): Promise<Response<T>> {
  const message = await session.request(`$JS.API.${question}`, body, NATS_STREAM_NAMES_TIMEOUT_MS);
  return message.json<Response<T>>();
}

/** A stream that does not exist is an error here, and the business of the publishing itself. */
function isStreamInfo(response: Response<StreamInfo>): response is StreamInfo {
  return response.config !== undefined;
}

/**
 * A server says the same of a stream that is missing, of one that has no leader just now, and where there is no
 * JetStream: nobody listens. This asks which streams the subject belongs to.
 */
export async function diagnoseNoResponders(session: Session, subject: string): Promise<Failure> {
  try {
    const { streams, error } = await askStreamNames(session, subject);
    if (error !== undefined) return unavailable(subject, error.description);
    const [stream] = streams ?? [];
    if (stream !== undefined) return unavailable(subject, `stream ${stream} has no leader just now`);
    const reason = `no stream takes subject ${subject}: make one, such as: nats stream add EVENTS --subjects='${subject}'`;
    return { kind: "misconfigured", reason };
  } catch (error) {
    const { name, message, cause } = error as Error;
    const isUnheard = (cause as Error | undefined)?.name === "NoResponders" || name === "NoResponders";
    if (!isUnheard)
      return unavailable(subject, `no stream answers, and which there are is not known: ${message}`);
    const reason = `JetStream is not enabled on the server at ${session.server}, or not for this account`;
    return { kind: "misconfigured", reason };
  }
}

function unavailable(subject: string, why: string): Failure {
  return { kind: "unavailable", reason: `subject ${subject}: ${why}` };
}
