import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as errors from "../../src/errors.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const ERRORS_FILE = fileURLToPath(new URL("../../src/errors.ts", import.meta.url));

/** One error of each class. */
function oneOfEach(copy: typeof errors): errors.EventError[] {
  return [
    new copy.EventTooLargeError(2, 1, "main"),
    new copy.EventQueueFullError(1, 1, "main"),
    new copy.EventSerializationError("user", "is a function"),
    new copy.EventInvalidError([]),
    new copy.EventStorageError("SQLITE_FULL", "events.db", "The disk is full."),
    new copy.EventTransactionError("No transaction is open."),
    new copy.EventQueueClosedError("main"),
    new copy.ConfigurationError("is not set"),
  ];
}

const CLASSES = Object.values(errors).filter((value) => value !== errors.EventError);

test("each error has its class's name, a message, and a code that no other class has", () => {
  const all = oneOfEach(errors);
  assert.deepEqual(new Set(all.map((error) => error.constructor)), new Set(CLASSES));
  for (const error of all) assert.equal(error.name, error.constructor.name);
  assert.deepEqual(
    all.map(({ code }) => code),
    [
      ...["EVENT_TOO_LARGE", "QUEUE_FULL", "EVENT_NOT_SERIALIZABLE", "EVENT_INVALID"],
      ...["SQLITE_FULL", "TRANSACTION", "QUEUE_CLOSED", "CONFIGURATION"],
    ],
  );
});

test("is() knows the errors of its class and no others, from this copy of the package and another", async () => {
  using directory = temporaryDirectory();
  const file = join(directory.path, "errors.ts");
  copyFileSync(ERRORS_FILE, file);
  const copy: typeof errors = await import(pathToFileURL(file).href);
  const foreign = oneOfEach(copy);
  for (const error of foreign) assert.ok(!(error instanceof errors.EventError));

  for (const error of [...oneOfEach(errors), ...foreign]) {
    assert.ok(errors.EventError.is(error));
    const knowing = Object.values(errors).filter((errorClass) => errorClass.is(error));
    assert.deepEqual(new Set(knowing.map(({ name }) => name)), new Set(["EventError", error.name]));
  }
  for (const other of [new Error("QUEUE_FULL"), { code: "QUEUE_FULL" }, "QUEUE_FULL", null, undefined])
    assert.ok(!errors.EventError.is(other));
});

test("is() of a subclass that a service derives knows only the errors of that", () => {
  class OwnError extends errors.EventQueueFullError {}
  const own = new OwnError(1, 1, "main");
  assert.ok(OwnError.is(own) && errors.EventQueueFullError.is(own) && errors.EventError.is(own));
  assert.ok(!OwnError.is(new errors.EventQueueFullError(1, 1, "main")));
});
