/**
 * Why nobody answers to a subject.
 *
 * @module
 */
import type { Session } from "./session.ts";
import { askStreamNames } from "./stream_api.ts";
import type { Failure } from "./types.ts";

/**
 * A server says the same of a stream that is missing, of one that has no leader just now, and where there is no
 * JetStream: nobody listens. This asks which streams the subject belongs to.
 */
export async function whyUnheard(session: Session, subject: string): Promise<Failure> {
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
