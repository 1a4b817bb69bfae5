import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { EventStorageError, Outbox, serializeJsonEvent } from "../../../src/queue/outbox.ts";
import { noSmallDisks, SmallDisk } from "../../support/small_disk.ts";
import { openShop, SQLITE_LIBRARIES } from "../../support/sqlite_libraries.ts";

for (const library of SQLITE_LIBRARIES) {
  test(`${library.name}: keeps row and event together on a full disk, says so, and continues when there is room`, {
    skip: noSmallDisks,
  }, () => {
    using disk = new SmallDisk(4);
    const db = openShop(library, join(disk.path, "shop.db"));
    const outbox = new Outbox(db, serializeJsonEvent);
    const insertOrder = db.prepare("INSERT INTO orders DEFAULT VALUES");
    const placeOrder = (): void =>
      outbox.transaction(() => {
        outbox.put({ text: "x".repeat(3_000) });
        insertOrder.run();
      });
    const counts = (): unknown[] =>
      Object.values(
        db
          .prepare("SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM eventspool_event)")
          .get() as object,
      );

    placeOrder();
    disk.fill();
    assert.throws(
      () => {
        for (;;) placeOrder();
      },
      (error) =>
        error instanceof EventStorageError &&
        error.code === "SQLITE_FULL" &&
        /Free some space/.test(error.message),
    );
    const [orders, events] = counts() as [number, number];
    assert.ok(orders >= 1);
    assert.equal(events, orders);

    disk.free();
    placeOrder();
    assert.deepEqual(counts(), [orders + 1, orders + 1]);
    outbox.close();
    db.close();
  });
}
