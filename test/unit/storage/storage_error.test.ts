import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStorageError } from "../../../src/errors.ts";
import { codeName } from "../../../src/storage/sqlite/sqlite.ts";
import { toStorageError } from "../../../src/storage/storage_error.ts";

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

test("knows SQLite's codes from node:sqlite's numbers, also those that say more than the kind", () => {
  for (const [errcode, code] of [
    [5, "SQLITE_BUSY"],
    [517, "SQLITE_BUSY_SNAPSHOT"],
    [13, "SQLITE_FULL"],
    [8, "SQLITE_READONLY"],
    [778, "SQLITE_IOERR"], // SQLITE_IOERR_WRITE
    [undefined, "SQLITE_ERROR"], // Deno's exec
  ] as const) {
    const error = toStorageError(Object.assign(new Error("x"), { code: "ERR_SQLITE_ERROR", errcode }), "/q");
    assert.equal((error as EventStorageError).code, code);
  }
});

test("leaves every other error as it is", () => {
  for (const error of [
    new TypeError("x"),
    Object.assign(new Error("x"), { code: "ENOENT" }),
    new EventStorageError("SQLITE_FULL", "/q", "told already"),
    undefined,
    "text",
  ]) {
    assert.equal(toStorageError(error, "/q"), error);
  }
});

test("names the codes of SQLite's header; an extended one that is not listed as its primary code", () => {
  const extended = (primary: number, nth: number): string => codeName(primary | (nth << 8));
  assert.deepEqual(
    [5, 6, 8, 10, 11, 13, 14, 19, 26, 99].map(codeName),
    [
      "BUSY",
      "LOCKED",
      "READONLY",
      "IOERR",
      "CORRUPT",
      "FULL",
      "CANTOPEN",
      "CONSTRAINT",
      "NOTADB",
      "ERROR",
    ].map((name) => `SQLITE_${name}`),
  );
  assert.deepEqual(
    [extended(5, 1), extended(5, 2), extended(5, 3)],
    ["SQLITE_BUSY_RECOVERY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_BUSY_TIMEOUT"],
  );
  assert.deepEqual(
    [extended(19, 1), extended(19, 6), extended(19, 7), extended(19, 8)],
    [
      "SQLITE_CONSTRAINT_CHECK",
      "SQLITE_CONSTRAINT_PRIMARYKEY",
      "SQLITE_CONSTRAINT_TRIGGER",
      "SQLITE_CONSTRAINT",
    ],
  );
});
