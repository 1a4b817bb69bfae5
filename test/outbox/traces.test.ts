import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import * as openTelemetry from "@opentelemetry/api";
import { Outbox } from "../../src/outbox/mod.ts";
import { serveCollector } from "../support/collector.ts";
import { eventually } from "../support/eventually.ts";
import { newPublisher } from "../support/publisher.ts";
import { openShop, SQLITE_LIBRARIES } from "../support/sqlite_libraries.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { traced, traceparentOf } from "../support/tracing.ts";

const text = (event: string): Uint8Array => new TextEncoder().encode(event);

for (const library of SQLITE_LIBRARIES) {
  test(`${library.name}: keeps the span in which an event is put, unless it is rolled back`, async () => {
    using tracing = traced();
    using directory = temporaryDirectory();
    const db = openShop(library, join(directory.path, "shop.db"));
    using outbox = new Outbox(db, text, { openTelemetry });

    outbox.put("before");
    const context = await tracing.span(() =>
      outbox.transaction(() => {
        outbox.put("one");
        outbox.putMany(["two", "three"]);
      }),
    );
    await tracing.span(() => {
      db.exec("BEGIN");
      outbox.put("never");
      db.exec("ROLLBACK");
    });

    const rows = db.prepare("SELECT trace FROM eventspool_event ORDER BY id").all() as {
      trace: string | null;
    }[];
    const trace = traceparentOf(context);
    assert.deepEqual(
      rows.map((row) => row.trace),
      [null, trace, trace, trace],
    );
    outbox.close();
    db.close();
  });
}

test("has the publisher link to the spans of an outbox's events", async () => {
  using tracing = traced();
  using directory = temporaryDirectory();
  const path = join(directory.path, "shop.db");
  const db = openShop(SQLITE_LIBRARIES[0]!, path);
  using outbox = new Outbox(db, text, { openTelemetry });
  await using collector = await serveCollector();
  const { spanId } = await tracing.span(() => outbox.put("{}"));
  {
    await using publisher = newPublisher(
      collector.url,
      directory.path,
      { "queue.file": path },
      { openTelemetry },
    );
    void publisher.run();
    await eventually("an empty outbox", () => outbox.depth() === 0);
  }
  const [span] = tracing.ended("eventspool publish");
  assert.deepEqual(
    span?.links.map(({ context }) => context.spanId),
    [spanId],
  );
  db.close();
});
