import assert from "node:assert/strict";
import { test } from "node:test";
import * as openTelemetry from "@opentelemetry/api";
import { type PublishTracing, withPublishSpan } from "../../../src/publisher/tracing.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { serveCollector } from "../../support/collector.ts";
import { eventually } from "../../support/eventually.ts";
import { newQueue, type PublishedQueue, type Settings } from "../../support/publisher.ts";
import { serveHttp } from "../../support/servers.ts";
import { traced } from "../../support/tracing.ts";

const NAME = "eventspool publish";

/** A queue whose puts and requests are traced. */
function tracedQueue(url: string, settings: Settings = {}): PublishedQueue {
  return newQueue(url, settings, { openTelemetry });
}

async function deliverAll({ publisher, queue }: PublishedQueue): Promise<void> {
  void publisher.run();
  await eventually("an empty queue", () => queue.depth() === 0);
}

test("creates a span for each request, with links to the spans that put its events", async () => {
  using tracing = traced();
  await using collector = await serveCollector();
  await using main = tracedQueue(collector.url);
  const first = await tracing.span(() => main.queue.putMany([{ id: 1 }, { id: 2 }]));
  main.queue.put({ id: 3 });
  const second = await tracing.span(() => main.queue.put({ id: 4 }));
  await deliverAll(main);

  const [span, ...others] = tracing.ended(NAME);
  assert.equal(others.length, collector.batches.length - 1);
  assert.deepEqual(
    span?.links.map(({ context }) => ({ traceId: context.traceId, spanId: context.spanId })),
    [first, second].map(({ traceId, spanId }) => ({ traceId, spanId })),
  );
  assert.ok(span.links.every(({ context }) => context.isRemote === true && context.traceFlags === 1));
  assert.equal(span.kind, openTelemetry.SpanKind.CLIENT);
  assert.equal(span.status.code, openTelemetry.SpanStatusCode.UNSET);
  assert.deepEqual(span.attributes, {
    "messaging.system": "eventspool",
    "messaging.operation.name": "publish",
    "messaging.operation.type": "send",
    "messaging.destination.name": "main",
    "messaging.batch.message_count": 4,
    "messaging.message.body.size": '[{"id":1},{"id":2},{"id":3},{"id":4}]'.length,
    "eventspool.attempts": 1,
    "eventspool.outcome": "accepted",
  });
});

test("starts a trace of its own, even when it is started in a span", async () => {
  using tracing = traced();
  await using collector = await serveCollector();
  await using main = tracedQueue(collector.url);
  main.queue.put({ id: 1 });
  const around = await tracing.span(() => deliverAll(main));

  const [span] = tracing.ended(NAME);
  assert.equal(span?.parentSpanContext, undefined);
  assert.notEqual(span?.spanContext().traceId, around.traceId);
  assert.deepEqual(span?.links, []);
});

test("marks a failed request as an error with the collector's response, and links the next one too", async () => {
  using tracing = traced();
  const statuses = [503, 200];
  await using server = await serveHttp((response) =>
    response.writeHead(statuses.shift() ?? 200).end("not now"),
  );
  await using main = tracedQueue(server.url);
  const put = await tracing.span(() => main.queue.put({ id: 1 }));
  await deliverAll(main);

  const spans = tracing.ended(NAME);
  assert.deepEqual(
    spans.map(({ attributes }) => [attributes["eventspool.attempts"], attributes["eventspool.outcome"]]),
    [
      [1, "unavailable"],
      [2, "accepted"],
    ],
  );
  assert.equal(spans[0]?.status.code, openTelemetry.SpanStatusCode.ERROR);
  assert.match(spans[0]?.status.message ?? "", /the destination responded with 503: not now/);
  for (const { links } of spans) assert.equal(links[0]?.context.spanId, put.spanId);
});

test("links at most 128 spans", async () => {
  using tracing = traced();
  await using collector = await serveCollector();
  await using main = tracedQueue(collector.url);
  for (let id = 0; id < 130; id++) await tracing.span(() => main.queue.put({ id }));
  await deliverAll(main);

  assert.equal(collector.batches[0]?.events.length, 130);
  assert.equal(tracing.ended(NAME)[0]?.links.length, 128);
});

test("keeps the tracestate of a link, and omits invalid trace contexts", async () => {
  using tracing = traced();
  const traces = [
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 vendor=a,other=b",
    "nonsense",
    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
  ];
  const batch = { queue: "main", count: 1, sizeBytes: 2, attempts: 1, traces };
  await withPublishSpan(openTelemetry, batch, async () => ({ kind: "accepted" }));

  const links = tracing.ended(NAME)[0]?.links ?? [];
  assert.deepEqual(
    links.map(({ context }) => [context.spanId, context.traceState?.serialize()]),
    [["b7ad6b7169203331", "vendor=a,other=b"]],
  );
});

test("sends a request once, and uses its response, whenever a tracer throws", async () => {
  const throwing = (where: "before" | "after"): PublishTracing => ({
    ...openTelemetry,
    trace: {
      getTracer: () => ({
        startActiveSpan: (_name: string, _options: object, work: (span: object) => unknown) => {
          if (where === "before") throw new Error("no tracer");
          return work({
            setAttribute: () => {
              throw new Error("no attribute");
            },
            setStatus: () => {},
            end: () => {},
          });
        },
      }),
    },
  });
  for (const where of ["before", "after"] as const) {
    let requests = 0;
    const batch = { queue: "main", count: 1, sizeBytes: 2, attempts: 1, traces: [] };
    const outcome = await withPublishSpan(throwing(where), batch, async () => {
      requests++;
      return { kind: "accepted" };
    });
    assert.deepEqual([outcome.kind, requests], ["accepted", 1], where);
  }
});

test("creates no spans without the option, whatever is in the file", async () => {
  using tracing = traced();
  await using collector = await serveCollector();
  await using main = newQueue(collector.url);
  using queue = new EventQueue("main", serializeJsonEvent, { directory: main.directory, openTelemetry });
  await tracing.span(() => queue.put({ id: 1 }));
  await deliverAll(main);

  assert.deepEqual(tracing.ended(NAME), []);
  assert.deepEqual(collector.batches[0]?.events, ['{"id":1}'], "nothing of the trace is sent");
});
