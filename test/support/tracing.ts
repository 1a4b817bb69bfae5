import * as api from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  type Sampler,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";

/** OpenTelemetry with its own SDK, that keeps what has ended in memory: `using tracing = traced();`. */
export interface Tracing extends Disposable {
  readonly api: typeof api;
  /** The spans that have ended and are called so. */
  ended(name: string): ReadableSpan[];
  /** Runs `work` within a span, and returns the span's context. */
  span(work: () => unknown): Promise<api.SpanContext>;
}

/** Sets it up for this process, until it is disposed of. */
export function traced({ sampler }: { sampler?: Sampler } = {}): Tracing {
  const exporter = new InMemorySpanExporter();
  const spanProcessors = [new SimpleSpanProcessor(exporter)];
  api.trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors, ...(sampler && { sampler }) }));
  api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  return {
    api,
    ended: (name) => exporter.getFinishedSpans().filter((span) => span.name === name),
    span: (work) =>
      api.trace.getTracer("test").startActiveSpan("work", async (span) => {
        await work();
        span.end();
        return span.spanContext();
      }),
    [Symbol.dispose]: () => {
      api.trace.disable();
      api.context.disable();
    },
  };
}

/** A context as the column `trace` has it. */
export function traceparentOf({ traceId, spanId }: api.SpanContext): string {
  return `00-${traceId}-${spanId}-01`;
}
