import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import * as openTelemetry from "@opentelemetry/api";
import {
  EventQueueFullError,
  Outbox,
  type OutboxOptions,
  serializeJsonEvent,
} from "../../../src/queue/outbox.ts";
import { openShop, SQLITE_LIBRARIES, type TestConnection } from "../../support/sqlite_libraries.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { traced, traceparentOf } from "../../support/tracing.ts";

for (const library of SQLITE_LIBRARIES) {
  /** A service's database, closed and removed at the end. */
  const openDatabase = () => {
    const directory = temporaryDirectory();
    const db = openShop(library, join(directory.path, "shop.db"));
    return {
      db,
      [Symbol.dispose]: () => {
        db.close();
        directory[Symbol.dispose]();
      },
    };
  };
  const openOutbox = (db: TestConnection, options: OutboxOptions = { openTelemetry }): Outbox<object> =>
    new Outbox(db, serializeJsonEvent, options);

  test(`${library.name}: keeps with each event the span that puts it, within a transaction or without`, async () => {
    using tracing = traced();
    using shop = openDatabase();
    using outbox = openOutbox(shop.db);
    outbox.put({ id: 1 });
    const alone = await tracing.span(() => outbox.put({ id: 2 }));
    const together = await tracing.span(() =>
      outbox.transaction(() => {
        outbox.put({ id: 3 });
        outbox.putMany([{ id: 4 }, { id: 5 }]);
      }),
    );
    outbox.putMany([{ id: 6 }]);

    const [second, later] = [traceparentOf(alone), traceparentOf(together)];
    assert.deepEqual(tracesIn(shop.db), [null, second, later, later, later, null]);
    assert.equal(outbox.depth(), 6);
  });

  test(`${library.name}: keeps no span where the outbox was not told to`, async () => {
    using tracing = traced();
    using shop = openDatabase();
    using outbox = openOutbox(shop.db, {});
    await tracing.span(() => {
      outbox.put({ id: 1 });
      outbox.putMany([{ id: 2 }]);
    });
    assert.deepEqual(tracesIn(shop.db), [null, null]);
  });

  test(`${library.name}: rejects an event that a span puts beyond the cap, and stores nothing of it`, async () => {
    using tracing = traced();
    using shop = openDatabase();
    using outbox = openOutbox(shop.db, { openTelemetry, maxEvents: 1 });
    await tracing.span(() => {
      assert.throws(() => outbox.putMany([{ id: 1 }, { id: 2 }]), EventQueueFullError);
      outbox.put({ id: 1 });
      assert.throws(() => outbox.put({ id: 2 }), EventQueueFullError);
    });
    assert.equal(tracesIn(shop.db).length, 1);
  });
}

function tracesIn(db: TestConnection): (string | null)[] {
  const rows = db.prepare("SELECT trace FROM eventspool_event ORDER BY id").all();
  return (rows as { trace: string | null }[]).map(({ trace }) => trace);
}
