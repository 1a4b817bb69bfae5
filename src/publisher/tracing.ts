/** OpenTelemetry: a span for each request to the destination, with links to the spans that put its events. */
import { VERSION } from "../version.ts";
import type { Outcome } from "./destinations/destination.ts";

/** The `tracestate` of W3C Trace Context. */
interface TraceState {
  set(key: string, value: string): TraceState;
  unset(key: string): TraceState;
  get(key: string): string | undefined;
  serialize(): string;
}

/** The target of a link. */
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

/** The part of the package `@opentelemetry/api` that a publisher uses. Pass the whole package: `import * as openTelemetry`. */
export interface PublishTracing {
  /** Creates spans. */
  readonly trace: { getTracer(name: string, version: string): object };
  /** The kinds of spans. */
  readonly SpanKind: { readonly CLIENT: number };
  /** The statuses of spans. */
  readonly SpanStatusCode: { readonly ERROR: number };
  /** Parses a `tracestate`. */
  createTraceState(text: string): object;
}

/** What a span says about a batch. */
export interface TracedBatch {
  readonly queue: string;
  /** The number of events. */
  readonly count: number;
  /** The size before compression, in bytes. */
  readonly sizeBytes: number;
  readonly attempts: number;
  /** The spans that put the events, as `traceparent` and `tracestate` in the queue file. */
  readonly traces: readonly string[];
}

/** Source: https://www.w3.org/TR/trace-context/, version 00. An id of zeros is invalid. */
const TRACE = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?: (.+))?$/;

/**
 * Runs a request in a span of its own. Its kind is CLIENT, since the spans that put the events are the producers. If a
 * tracer or an exporter throws, only the span is lost: the request runs once, and its outcome counts.
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
    // only the span is lost
  }
  return once();
}

/** Source of the attributes: https://opentelemetry.io/docs/specs/semconv/messaging/ */
function optionsOf(api: PublishTracing, batch: TracedBatch): SpanOptions {
  return {
    kind: api.SpanKind.CLIENT,
    root: true, // not a child of the span that was active when the publisher started
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

/** No link if the text in the file is not a trace context: events matter more than traces. */
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
      return `the destination responded with ${outcome.status}`;
    case "partial":
      return outcome.failure?.reason ?? `the destination rejected ${outcome.rejected.length} of the events`;
    default:
      return outcome.reason;
  }
}
