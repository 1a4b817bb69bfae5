/**
 * A span for each request to the destination, linked to the spans that have put its events.
 *
 * @module
 */

import { VERSION } from "../version.ts";
import type { Outcome } from "./destinations/destination.ts";

/** `tracestate` of W3C's trace context. */
interface TraceState {
  set(key: string, value: string): TraceState;
  unset(key: string): TraceState;
  get(key: string): string | undefined;
  serialize(): string;
}

/** What a link leads to. */
interface SpanContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceFlags: number;
  readonly isRemote: boolean;
  readonly traceState?: TraceState;
}

interface SpanOptions {
  readonly kind: number;
  readonly root: boolean;
  readonly attributes: Record<string, string | number>;
  readonly links: { readonly context: SpanContext }[];
}

interface Span {
  setAttribute(key: string, value: string | number): unknown;
  setStatus(status: { readonly code: number; readonly message: string }): unknown;
  end(): void;
}

interface Tracer {
  startActiveSpan<T>(name: string, options: SpanOptions, work: (span: Span) => T): T;
}

/** What a publisher needs of the package `@opentelemetry/api`: pass all of it, as in `import * as openTelemetry`. */
export interface PublishTracing {
  /** The package's `trace`: what makes spans. */
  readonly trace: { getTracer(name: string, version: string): object };
  /** The package's kinds of spans. */
  readonly SpanKind: { readonly CLIENT: number };
  /** The package's results of spans. */
  readonly SpanStatusCode: { readonly ERROR: number };
  /** Reads a `tracestate`. */
  createTraceState(text: string): object;
}

/** What a span tells of a batch. */
export interface TracedBatch {
  readonly queue: string;
  /** Events. */
  readonly count: number;
  /** Before compression. */
  readonly sizeBytes: number;
  readonly attempts: number;
  /** The spans that have put its events, as the store has them. */
  readonly traces: readonly string[];
}

/** Source: https://www.w3.org/TR/trace-context/, version 00; an id of zeros only is none. */
const TRACE = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?: (.+))?$/;

/**
 * Runs a request within a span of its own: a CLIENT's, since the spans that put the events are their producers. A
 * tracer or an exporter that throws loses the span, and nothing else: the request runs once, and its outcome stands.
 */
export async function withPublishSpan(
  api: PublishTracing,
  batch: TracedBatch,
  request: () => Promise<Outcome>,
): Promise<Outcome> {
  let outcome: Promise<Outcome> | undefined;
  const once = (): Promise<Outcome> => {
    outcome ??= request();
    return outcome;
  };
  try {
    const tracer = api.trace.getTracer("eventspool", VERSION) as Tracer;
    const work = async (span: Span): Promise<void> => finish(api, span, await once());
    await tracer.startActiveSpan("eventspool publish", optionsOf(api, batch), work);
  } catch {
    // as said above
  }
  return once();
}

/** Attributes: https://opentelemetry.io/docs/specs/semconv/messaging/, as far as it has a name for them. */
function optionsOf(api: PublishTracing, batch: TracedBatch): SpanOptions {
  return {
    kind: api.SpanKind.CLIENT,
    root: true, // not a child of whatever span was active when the publisher was started
    attributes: {
      "messaging.system": "eventspool",
      "messaging.operation.name": "publish",
      "messaging.operation.type": "send",
      "messaging.destination.name": batch.queue,
      "messaging.batch.message_count": batch.count,
      "messaging.message.body.size": batch.sizeBytes,
      "eventspool.attempts": batch.attempts,
    },
    links: batch.traces.flatMap((trace) => linkTo(api, trace)),
  };
}

/** None where what stands in the file is no trace context: events matter more than traces. */
function linkTo(api: PublishTracing, trace: string): { context: SpanContext }[] {
  const [, traceId, spanId, flags, state] = TRACE.exec(trace) ?? [];
  if (traceId === undefined || spanId === undefined) return [];
  const traceState = state === undefined ? {} : { traceState: api.createTraceState(state) as TraceState };
  return [{ context: { traceId, spanId, traceFlags: Number(`0x${flags}`), isRemote: true, ...traceState } }];
}

function finish(api: PublishTracing, span: Span, outcome: Outcome): void {
  span.setAttribute("eventspool.outcome", outcome.kind);
  if (outcome.kind !== "accepted")
    span.setStatus({ code: api.SpanStatusCode.ERROR, message: describe(outcome) });
  span.end();
}

function describe(outcome: Exclude<Outcome, { kind: "accepted" }>): string {
  switch (outcome.kind) {
    case "rejected":
      return `the collector answered ${outcome.status}`;
    case "partial":
      return outcome.failure?.reason ?? `the collector rejected ${outcome.rejected.length} of the events`;
    default:
      return outcome.reason;
  }
}
