import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { EventTransactionError, Outbox, serializeJsonEvent } from "../../../src/queue/outbox.ts";
import { openShop, runtimeLibrary, SQLITE_LIBRARIES } from "../../support/sqlite_libraries.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

for (const library of SQLITE_LIBRARIES) {
  test(`${library.name}: rejects an async callback before it begins, and one that returns a promise after it`, async () => {
    using directory = temporaryDirectory();
    const db = openShop(library, join(directory.path, "shop.db"));
    const outbox = new Outbox(db, serializeJsonEvent);
    let runs = 0;

    assert.throws(
      () =>
        outbox.transaction(async () => {
          runs++;
          outbox.put({});
        }),
      (error) => error instanceof EventTransactionError && /nothing was run/.test(error.message),
    );
    assert.equal(runs, 0);

    assert.throws(() => {
      outbox.transaction(() => {
        runs++;
        outbox.put({});
        return Promise.reject(new Error("nobody waits for this one, and it ends no process"));
      });
    }, EventTransactionError);
    // biome-ignore lint/suspicious/noThenProperty: query builders have one
    const thenable = { then: (): void => {} };
    assert.throws(() => outbox.transaction(() => thenable), EventTransactionError);

    await new Promise(setImmediate);
    assert.equal(runs, 1);
    assert.equal(outbox.depth(), 0, "what it put is undone");
    outbox.transaction(() => outbox.put({}));
    assert.equal(outbox.depth(), 1);
    outbox.close();
    db.close();
  });
}

test("rejects a put outside of a transaction where one is required", () => {
  using directory = temporaryDirectory();
  const db = openShop(runtimeLibrary, join(directory.path, "shop.db"));
  const outbox = new Outbox(db, serializeJsonEvent, { requireTransaction: true });
  assert.throws(() => outbox.put({}), EventTransactionError);
  assert.throws(() => outbox.putMany([{}]), EventTransactionError);
  outbox.transaction(() => outbox.put({}));
  db.exec("BEGIN");
  outbox.put({});
  db.exec("COMMIT");
  assert.equal(outbox.depth(), 2);
  outbox.close();
  db.close();
});

test("finds the puts behind an await in bun:sqlite's own transaction, which commits before them", {
  skip: process.versions.bun === undefined ? "bun:sqlite is Bun's" : false,
}, async () => {
  using directory = temporaryDirectory();
  const db = openShop(runtimeLibrary, join(directory.path, "shop.db"));
  const outbox = new Outbox(db, serializeJsonEvent, { requireTransaction: true });
  const { transaction } = db as unknown as { transaction(work: () => unknown): () => Promise<void> };
  const work = transaction.call(db, async () => {
    outbox.put({ before: true });
    await Promise.resolve();
    outbox.put({ after: true });
  });
  await assert.rejects(work(), EventTransactionError);
  assert.equal(outbox.depth(), 1);
  outbox.close();
  db.close();
});
