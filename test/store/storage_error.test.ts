import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStorageError } from "../../src/errors.ts";
import { toStorageError } from "../../src/store/storage_error.ts";

test("says what happened, where, and what to do, for each of SQLite's codes", () => {
  for (const [code, advice] of [
    ["SQLITE_BUSY", /another process/],
    ["SQLITE_BUSY_RECOVERY", /another process/],
    ["SQLITE_FULL", /Free some space/],
    ["SQLITE_READONLY", /owner and mode/],
    ["SQLITE_READONLY_DIRECTORY", /directory that this process may not write/],
    ["SQLITE_IOERR_WRITE", /the disk or the file system/],
    ["SQLITE_MISMATCH", /cannot be used/],
  ] as const) {
    const cause = Object.assign(new Error("detail"), { code });
    const error = toStorageError(cause, "/q/events-main.db");
    assert.ok(error instanceof EventStorageError);
    assert.deepEqual([error.code, error.path, error.cause], [code, "/q/events-main.db", cause]);
    assert.match(error.message, advice);
    assert.match(error.message, new RegExp(`/q/events-main\\.db.*\\(${code}: detail\\)`));
  }
});

test("leaves every other error as it is", () => {
  for (const error of [
    new TypeError("x"),
    Object.assign(new Error("x"), { code: "ENOENT" }),
    undefined,
    "text",
  ]) {
    assert.equal(toStorageError(error, "/q"), error);
  }
});
