/**
 * The command `publisher`, as it is when an OpenTelemetry SDK was loaded before it: its spans are written to stdout,
 * a line each.
 */
import { context, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { BasicTracerProvider, SimpleSpanProcessor, type SpanExporter } from "@opentelemetry/sdk-trace-base";

const exporter: SpanExporter = {
  export: (spans, done) => {
    for (const { name, links } of spans)
      console.log(JSON.stringify({ span: name, links: links.map(({ context: { spanId } }) => spanId) }));
    done({ code: 0 });
  },
  shutdown: async () => {},
};
trace.setGlobalTracerProvider(
  new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
);
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());

await import("../../../src/cli/publisher.ts");
