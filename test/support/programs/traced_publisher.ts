/**
 * The command `publisher`, as it is when an OpenTelemetry SDK was loaded before it: its spans are written to stdout,
 * a line each, and none before a minute is over unless the SDK is told to.
 */
import { writeSync } from "node:fs";
import { context, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { BasicTracerProvider, BatchSpanProcessor, type SpanExporter } from "@opentelemetry/sdk-trace-base";

const exporter: SpanExporter = {
  export: (spans, done) => {
    for (const { name, links } of spans) {
      const spanIds = links.map(({ context: { spanId } }) => spanId);
      writeSync(1, `${JSON.stringify({ span: name, links: spanIds })}\n`);
    }
    done({ code: 0 });
  },
  shutdown: async () => {},
};
const processor = new BatchSpanProcessor(exporter, { scheduledDelayMillis: 60_000 });
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [processor] }));
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());

await import("../../../src/commands/publisher.ts");
