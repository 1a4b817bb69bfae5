import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import * as openTelemetry from "@opentelemetry/api";
import {
  EventQueueClosedError,
  EventQueueFullError,
  EventSerializationError,
  EventStorageError,
  EventTooLargeError,
  Outbox,
  type OutboxOptions,
  serializeJsonEvent,
} from "../../../src/queue/outbox.ts";
import { openShop, SQLITE_LIBRARIES, type TestConnection } from "../../support/sqlite_libraries.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { traced, traceparentOf } from "../../support/tracing.ts";

const text = (event: string): Uint8Array => new TextEncoder().encode(event);

/** A service with one connection, and another connection of the same library that sees what is committed. */
interface Shop {
  readonly db: TestConnection;
  readonly outbox: Outbox<string>;
  open(): TestConnection;
}

for (const library of SQLITE_LIBRARIES) {
  const inShop = (name: string, work: (shop: Shop) => void, options: OutboxOptions = {}): void => {
    test(`${library.name}: ${name}`, () => {
      using directory = temporaryDirectory();
      const path = join(directory.path, "shop.db");
      const open = (): TestConnection => openShop(library, path);
      const db = open();
      const opened = [db];
      const outbox = new Outbox(db, text, options);
      try {
        work({
          db,
          outbox,
          open: () => {
            opened.push(open());
            return opened.at(-1)!;
          },
        });
      } finally {
        outbox.close();
        for (const connection of opened) connection.close();
      }
    });
  };

  inShop(
    "commits an event together with the row, where others see neither before",
    ({ db, outbox, open }) => {
      const other = open();
      db.exec("BEGIN");
      insertOrder(db, 1);
      outbox.put("ordered 1");
      assert.deepEqual(seenBy(other), { orders: [], events: [] });
      db.exec("COMMIT");
      assert.deepEqual(seenBy(other), { orders: [1], events: ["ordered 1"] });
    },
  );

  inShop("takes the event back when the service rolls back", ({ db, outbox, open }) => {
    const other = open();
    db.exec("BEGIN IMMEDIATE");
    insertOrder(db, 1);
    outbox.put("ordered 1");
    outbox.putMany(["packed 1", "sent 1"]);
    assert.equal(outbox.depth(), 3, "the service sees what it has put");
    db.exec("ROLLBACK");
    assert.deepEqual(seenBy(other), { orders: [], events: [] });
    assert.equal(outbox.depth(), 0);
  });

  inShop("commits by itself outside of a transaction", ({ outbox, open }) => {
    outbox.put("first");
    outbox.putMany(["second", "third"]);
    outbox.putMany([]);
    assert.deepEqual(seenBy(open()).events, ["first", "second", "third"]);
  });

  inShop("takes back what was put since a savepoint of the service", ({ db, outbox, open }) => {
    db.exec("BEGIN");
    outbox.put("kept");
    db.exec("SAVEPOINT mine");
    outbox.put("undone");
    db.exec("ROLLBACK TO mine");
    db.exec("COMMIT");
    assert.deepEqual(seenBy(open()).events, ["kept"]);
  });

  inShop("runs a transaction and returns what it returns", ({ db, outbox, open }) => {
    const id = outbox.transaction(() => {
      insertOrder(db, 7);
      outbox.put("ordered 7");
      return 7;
    });
    assert.equal(id, 7);
    assert.deepEqual(seenBy(open()), { orders: [7], events: ["ordered 7"] });
  });

  inShop("undoes a transaction that throws, and lets its error through", ({ db, outbox, open }) => {
    const failure = new RangeError("mine");
    const failing = (): void => {
      insertOrder(db, 7);
      outbox.put("ordered 7");
      throw failure;
    };
    assert.throws(() => outbox.transaction(failing), failure);
    assert.deepEqual(seenBy(open()), { orders: [], events: [] });
    outbox.put("goes on");
    assert.equal(outbox.depth(), 1);
  });

  inShop("undoes a transaction within another by itself", ({ db, outbox, open }) => {
    outbox.transaction(() => {
      outbox.put("outer");
      const inner = (): void => {
        insertOrder(db, 7);
        outbox.put("inner");
        throw new RangeError("mine");
      };
      assert.throws(() => outbox.transaction(inner), RangeError);
    });
    assert.deepEqual(seenBy(open()), { orders: [], events: ["outer"] });
  });

  inShop(
    "rejects exactly at the cap, counting what the open transaction has put, and leaves that open",
    ({ db, outbox, open }) => {
      outbox.put("1");
      db.exec("BEGIN");
      insertOrder(db, 1);
      outbox.put("2");
      assert.throws(
        () => outbox.putMany(["3", "4"]),
        (error) => error instanceof EventQueueFullError && error.size === 2 && error.limit === 3,
      );
      outbox.put("3");
      assert.throws(
        () => outbox.put("4"),
        (error) =>
          error instanceof EventQueueFullError &&
          error.size === 3 &&
          error.limit === 3 &&
          error.queue === "orders",
      );
      db.exec("COMMIT");
      assert.deepEqual(seenBy(open()), { orders: [1], events: ["1", "2", "3"] });
    },
    { maxEvents: 3, name: "orders" },
  );

  inShop(
    "rejects an event that is too large, empty or not bytes, and stores none of the others",
    ({ db, outbox }) => {
      db.exec("BEGIN");
      outbox.put("12345");
      assert.throws(
        () => outbox.put("123456"),
        (error) => error instanceof EventTooLargeError && error.size === 6 && error.limit === 5,
      );
      assert.throws(() => outbox.putMany(["1", ""]), EventSerializationError);
      db.exec("COMMIT");
      assert.equal(outbox.depth(), 1);
    },
    { maxEventBytes: 5 },
  );

  inShop("keeps the cap in the database until someone passes another", ({ db, outbox }) => {
    using lower = new Outbox(db, text, { maxEvents: 1 });
    outbox.put("1");
    assert.throws(() => outbox.put("2"), EventQueueFullError);
    using higher = new Outbox(db, text, { maxEvents: 2 });
    lower.put("2");
    assert.throws(() => higher.put("3"), EventQueueFullError);
  });

  inShop(
    "says so when the database stays locked for longer than the connection waits",
    ({ db, outbox, open }) => {
      const other = open();
      db.exec("PRAGMA busy_timeout = 1");
      other.exec("BEGIN IMMEDIATE");
      assert.throws(
        () => outbox.put("blocked"),
        (error) =>
          error instanceof EventStorageError &&
          error.code === "SQLITE_BUSY" &&
          /busy_timeout: 1 ms/.test(error.message),
      );
      assert.throws(
        () => outbox.transaction(() => assert.fail("is never run")),
        (error) => error instanceof EventStorageError && error.code === "SQLITE_BUSY",
      );
      other.exec("ROLLBACK");
      outbox.put("goes on");
    },
  );

  inShop("says what to do about a transaction that has read before another wrote", ({ db, outbox, open }) => {
    db.exec("BEGIN");
    db.prepare("SELECT * FROM orders").all();
    insertOrder(open(), 1);
    assert.throws(
      () => outbox.put("too late"),
      (error) =>
        error instanceof EventStorageError &&
        error.code === "SQLITE_BUSY_SNAPSHOT" &&
        /BEGIN IMMEDIATE/.test(error.message),
    );
    db.exec("ROLLBACK");
  });

  inShop(
    "counts the events it rejects when no transaction is open, and again after one",
    ({ db, outbox }) => {
      db.exec("BEGIN");
      for (const large of ["123", "1234"]) assert.throws(() => outbox.put(large), EventTooLargeError);
      outbox.put("1");
      db.exec("COMMIT");
      outbox.close();
      assert.deepEqual(valuesOf(db, "SELECT reason || ' ' || count FROM eventspool_rejected_put"), [
        "too_large 2",
      ]);
    },
    { maxEventBytes: 2 },
  );

  inShop("leaves the connection open and usable when it is closed", ({ db, outbox }) => {
    outbox.put("before");
    outbox.close();
    outbox.close();
    assert.throws(() => outbox.put("late"), EventQueueClosedError);
    assert.throws(() => outbox.putMany(["late"]), EventQueueClosedError);
    assert.throws(() => outbox.transaction(() => {}), EventQueueClosedError);
    assert.throws(() => outbox.depth(), EventQueueClosedError);
    insertOrder(db, 1);
  });
}

function insertOrder(db: TestConnection, id: number): void {
  db.prepare("INSERT INTO orders (id) VALUES (?)").run(id);
}

function seenBy(db: TestConnection): { orders: unknown[]; events: unknown[] } {
  const orders = valuesOf(db, "SELECT id FROM orders ORDER BY id");
  const events = valuesOf(db, "SELECT CAST(body AS TEXT) FROM eventspool_event ORDER BY id");
  return { orders, events };
}

function valuesOf(db: TestConnection, sql: string): unknown[] {
  return db
    .prepare(sql)
    .all()
    .map((row) => Object.values(row as object)[0]);
}

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
