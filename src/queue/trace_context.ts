/** Which span puts an event. */
import type { OptionKind } from "../options.ts";

/** The context of a span. */
interface SpanContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceFlags: number;
  readonly traceState?: { serialize(): string } | undefined;
}

/** The part of the package `@opentelemetry/api` that a queue uses: pass the package, as in `import * as openTelemetry`. */
export interface PutTracing {
  /** The package's `trace`: which span is active. */
  readonly trace: { getActiveSpan(): { spanContext(): object } | undefined };
}

/** The kind of the option. */
export const TRACING: OptionKind = {
  expected: "the package @opentelemetry/api, all of it",
  matches: (value) => typeof (value as Partial<PutTracing> | null)?.trace?.getActiveSpan === "function",
};

/** The bit of a span that is recorded. Source: https://www.w3.org/TR/trace-context/, trace-flags. */
const SAMPLED = 1;

/**
 * The active span as W3C's `traceparent` and, behind a space, its `tracestate`. Undefined: there is none, or it is
 * not recorded, so that nothing could be linked to it.
 */
export function activeTrace({ trace }: PutTracing): string | undefined {
  const context = trace.getActiveSpan()?.spanContext() as SpanContext | undefined;
  if (context === undefined || (context.traceFlags & SAMPLED) === 0) return undefined;
  const { traceId, spanId, traceFlags, traceState } = context;
  const traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
  const tracestate = traceState?.serialize() ?? "";
  return tracestate === "" ? traceparent : `${traceparent} ${tracestate}`;
}
