import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import * as openTelemetry from "@opentelemetry/api";
import { AlwaysOffSampler } from "@opentelemetry/sdk-trace-base";
import { EventQueueFullError } from "../../../src/errors.ts";
import { EventQueue, type EventQueueOptions } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { openShell } from "../../support/shell.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { traced, traceparentOf } from "../../support/tracing.ts";

/** A queue of its own, and the traces in its file, in order. */
function openQueue(options: EventQueueOptions = { openTelemetry }) {
  const directory = temporaryDirectory();
  const queue = new EventQueue("main", serializeJsonEvent, { directory: directory.path, ...options });
  const db = openShell(queue.file, { isReadOnly: true });
  const select = db.prepareFirst<[], string | null>("SELECT trace FROM eventspool_event ORDER BY id");
  return {
    queue,
    traces: () => select.all(),
    [Symbol.dispose]: () => {
      db.close();
      queue.close();
      directory[Symbol.dispose]();
    },
  };
}

test("keeps the context of the span in which an event is put", async () => {
  using tracing = traced();
  using main = openQueue();
  main.queue.put({ id: 1 });
  const context = await tracing.span(() => main.queue.put({ id: 2 }));
  main.queue.put({ id: 3 });

  assert.deepEqual(main.traces(), [null, traceparentOf(context), null]);
  assert.match(main.traces()[1] ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
});

test("keeps it with each event of putMany", async () => {
  using tracing = traced();
  using main = openQueue();
  const events = Array.from({ length: 20 }, (_, id) => ({ id }));
  const context = await tracing.span(() => main.queue.putMany(events));
  main.queue.putMany(events);

  const trace = traceparentOf(context);
  assert.deepEqual(main.traces(), [...events.map(() => trace), ...events.map(() => null)]);
});

test("keeps with each grouped put its own, although all share a commit", async () => {
  using tracing = traced();
  using main = openQueue();
  const put = (id: number) => tracing.span(() => main.queue.putAsync({ id }));
  const [first, , second] = await Promise.all([put(1), main.queue.putAsync({ id: 2 }), put(3)]);
  await setImmediate();

  assert.deepEqual(main.traces(), [traceparentOf(first), null, traceparentOf(second)]);
});

test("keeps the tracestate, too", async () => {
  using _ = traced();
  using main = openQueue();
  const traceState = openTelemetry.createTraceState("vendor=a:b,other=c");
  const [traceId, spanId] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
  const span = openTelemetry.trace.wrapSpanContext({ traceId, spanId, traceFlags: 1, traceState });
  const context = openTelemetry.trace.setSpan(openTelemetry.ROOT_CONTEXT, span);
  openTelemetry.context.with(context, () => main.queue.put({ id: 1 }));

  assert.deepEqual(main.traces(), [`00-${traceId}-${spanId}-01 vendor=a:b,other=c`]);
});

test("keeps none of a span that is not recorded, and none where the queue was not told to", async () => {
  {
    using tracing = traced({ sampler: new AlwaysOffSampler() });
    using main = openQueue();
    const { traceId } = await tracing.span(() => main.queue.put({ id: 1 }));
    assert.match(traceId, /^[0-9a-f]{32}$/);
    assert.deepEqual(main.traces(), [null]);
  }
  using tracing = traced();
  using main = openQueue({});
  await tracing.span(() => main.queue.put({ id: 1 }));
  await tracing.span(() => main.queue.putAsync({ id: 2 }));
  assert.deepEqual(main.traces(), [null, null]);
});

test("puts as before where there is the package and no SDK", () => {
  using main = openQueue();
  main.queue.put({ id: 1 });
  assert.deepEqual(main.traces(), [null]);
});

test("counts an event that a span puts for the cap as any other", async () => {
  using tracing = traced();
  using main = openQueue({ openTelemetry, maxEvents: 2 });
  await tracing.span(() => {
    main.queue.put({ id: 1 });
    main.queue.put({ id: 2 });
    assert.throws(() => main.queue.put({ id: 3 }), EventQueueFullError);
    assert.throws(() => main.queue.putMany([{ id: 3 }]), EventQueueFullError);
  });
  assert.equal(main.traces().length, 2);
});
